"""A Milvus that goes away, refuses, or holds something else: one line, and nothing is lost."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

pytest.importorskip("milvus_lite", reason="Milvus Lite is of requirements-dev.txt")

from src.common.errors import UserError
from src.index.stores import filling
from src.index.stores.filling import fill, read_folders
from src.index.stores.milvus_collection import MilvusCollection
from src.index.stores.milvus_connection import TOKEN_VARIABLE, Connection, MilvusAwayError
from src.index.stores.milvus_terms import milvus_index_for
from src.index.stores.settings import StoreSettings
from tests.helpers.milvus import MilvusServer, refusing_server
from tests.helpers.whole_features import write_whole

ROOT = Path(__file__).resolve().parents[3]
NAMES = [f"p{i:03d}" for i in range(200)]


@pytest.fixture
def server(tmp_path):
    """A Milvus that the test may kill."""
    one = MilvusServer(tmp_path / "data")
    one.start()
    yield one
    one.kill()


@pytest.fixture
def folders(tmp_path, monkeypatch):
    monkeypatch.setattr(filling, "BATCH", 40)
    write_whole(tmp_path / "features", NAMES)
    return read_folders([tmp_path / "features"])


def opened(uri, folders, patience=0.0, name="delf"):
    settings = StoreSettings("milvus", milvus_uri=uri, milvus_patience=patience, milvus_name=name)
    return MilvusCollection(folders[0].made_with, 16, settings)


def after_adds(store, count, act):
    """Do something when a store has been added to so many times."""
    add, calls = store.add, []

    def counted(*args):
        add(*args)
        calls.append(args)
        if len(calls) == count:
            act()

    store.add = counted


def test_gone_in_the_middle_of_an_insert_the_same_call_goes_on(server, folders):
    store = opened(server.uri, folders)
    after_adds(store, 3, server.kill)
    with pytest.raises(MilvusAwayError) as told:
        fill(store, folders)
    assert str(told.value).startswith(f"the Milvus at {server.uri} does not answer (")
    assert "run the same command again: what it has taken is kept" in str(told.value)
    server.start()
    again = fill(opened(server.uri, folders), folders)
    assert (again.added, again.there) == (80, 120)  # what was taken before the kill is kept
    with opened(server.uri, folders) as store:
        assert store.count() == 200 and sorted(store.names()) == NAMES


def test_one_that_comes_back_in_time_is_waited_for(server, folders):
    store = opened(server.uri, folders, patience=120)
    starting = threading.Thread(target=server.start)

    def restart():
        server.kill()
        starting.start()

    after_adds(store, 2, restart)
    filled = fill(store, folders)
    starting.join()
    assert filled.added == 200 and store.count() == 200
    store.close()


def test_gone_in_the_middle_of_a_query_the_same_call_goes_on(server, folders):
    store = opened(server.uri, folders)
    fill(store, folders)
    names, vectors = folders[0].vectors(NAMES[:3])
    before = store.nearest(vectors, 5)
    server.kill()
    with pytest.raises(MilvusAwayError, match=r"does not answer \(.*\); see that it runs"):
        store.nearest(vectors, 5)
    server.start()
    after = store.nearest(vectors, 5)  # not even a new store is needed
    assert [one.names for one in after] == [one.names for one in before]
    assert [one.names[0] for one in after] == names
    store.close()


def test_none_at_all_is_said_in_a_line(folders, server):
    server.kill()
    with pytest.raises(MilvusAwayError, match=f"the Milvus at {server.uri} does not answer"):
        opened(server.uri, folders)


def test_photos_of_other_settings_get_a_collection_beside(milvus, folders, tmp_path):
    with opened(milvus.uri, folders, name="beside") as store:
        fill(store, folders)
    write_whole(tmp_path / "others", NAMES[:5], settings={"made": "otherwise"})
    others = read_folders([tmp_path / "others"])
    with opened(milvus.uri, others, name="beside") as store:
        with pytest.raises(UserError, match="has no collection of these settings") as told:
            next(filling.ask(store, others[0], 3))
        assert "; it has beside_" in str(told.value) and "of other settings" in str(told.value)
        assert fill(store, others).added == 5
    with opened(milvus.uri, folders, name="beside") as store:
        assert store.count() == 200


def test_a_collection_of_another_program_is_not_touched(milvus, folders):
    with opened(milvus.uri, folders, name="foreign") as store:
        connection = Connection(milvus.uri, 0.0)
        connection.call("", lambda client: client.create_collection(store.name, dimension=8))
    with pytest.raises(UserError, match=r"is none of this program \(fields id, vector\)"):
        opened(milvus.uri, folders, name="foreign")
    connection.close()


def test_a_wrong_token_ends_in_a_line_and_is_never_shown(folders, tmp_path):
    secret = "root:Tr0ub4dor"
    with refusing_server() as (uri, tokens):
        done = subprocess.run(
            [
                *(sys.executable, "-m", "src.index.stores", "fill", str(tmp_path / "features")),
                *("--vector_store=milvus", f"--milvus_uri={uri}"),
            ],
            cwd=ROOT,
            env={**os.environ, TOKEN_VARIABLE: secret},
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line == f"error: the Milvus at {uri} refuses the token of {TOKEN_VARIABLE}"
    assert "Tr0ub4dor" not in done.stdout + done.stderr
    assert tokens  # it was sent, so that it could be refused


def test_a_token_is_asked_for_where_one_is_needed(folders, monkeypatch):
    monkeypatch.delenv(TOKEN_VARIABLE, raising=False)
    with refusing_server() as (uri, _), pytest.raises(UserError) as told:
        opened(uri, folders)
    assert str(told.value) == f"the Milvus at {uri} wants a token: set {TOKEN_VARIABLE}"


def test_a_password_in_the_uri_is_refused_unseen():
    with pytest.raises(UserError, match=f"put them into {TOKEN_VARIABLE}") as told:
        Connection("http://root:secret@host:19530", 0.0)
    assert "secret" not in str(told.value)


def test_without_pymilvus_the_line_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "pymilvus", None)
    with pytest.raises(UserError, match=r"pip install 'delf-mindspore\[milvus\]'"):
        Connection("http://localhost:19530", 0.0)


def test_an_index_that_a_milvus_does_not_know_is_named_and_the_old_one_stays(milvus, folders):
    with opened(milvus.uri, folders, name="rabitq") as store:
        fill(store, folders)
    other = StoreSettings(
        "milvus", milvus_uri=milvus.uri, milvus_name="rabitq", milvus_index="IVF_RABITQ"
    )
    with MilvusCollection(folders[0].made_with, 16, other) as store:
        with pytest.raises(UserError, match=r"cannot do this .*IVF_RABITQ"):
            fill(store, folders)
        names, vectors = folders[0].vectors(NAMES[:1])
        assert store.describe()["search"] == "FLAT"
        assert list(store.nearest(vectors, 1)[0].names) == names


def test_the_index_grows_with_the_photos(milvus, folders):
    small = StoreSettings("milvus", milvus_uri=milvus.uri, milvus_name="grows", exact=100)
    with MilvusCollection(folders[0].made_with, 16, small) as store:
        names, vectors = folders[0].vectors(NAMES)
        store.add(names[:100], vectors[:100], names[:100])
        store.flush()
        assert store.describe()["search"] == "FLAT"
        store.add(names[100:], vectors[100:], names[100:])
        store.flush()
        assert store.describe()["search"] == "AUTOINDEX"
        assert store.nearest(vectors[150:151], 1)[0].names == (names[150],)


@pytest.mark.parametrize(
    ("photos", "index"),
    [(0, "FLAT"), (100_000, "FLAT"), (100_001, "AUTOINDEX"), (2_000_001, "IVF_RABITQ"),
     (50_000_001, "DISKANN")],
)  # fmt: skip
def test_the_index_by_the_number_of_photos(photos, index):
    assert milvus_index_for(StoreSettings("milvus"), photos) == index
    assert milvus_index_for(StoreSettings("milvus", milvus_index="DISKANN"), photos) == "DISKANN"
