"""Completion in the shells themselves: words, options, settings and their choices."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from delf import completion
from delf.command import WORDS
from src.common.errors import UserError


def by_bash(*words, script=None):
    """What bash offers for the last word; "=" parts words, as it does there."""
    text = script or completion.script("bash")
    given = " ".join(completion._quoted(word) for word in ("delf", *words))
    code = (
        f"{text}\ncompopt() {{ :; }}\nCOMP_WORDS=({given})\nCOMP_CWORD={len(words)}\n_delf\n"
        'printf "%s\\n" "${COMPREPLY[@]}"\n'
    )
    run = subprocess.run(["bash", "-c", code], capture_output=True, text=True, check=True)
    assert not run.stderr
    return run.stdout.split()


def test_bash_completes_words_options_and_values():
    assert by_bash("") == list(WORDS)
    assert by_bash("du") == ["duplicates"]
    assert by_bash("search", "--eng") == ["--engine="]
    assert by_bash("search", "--for") == ["--forget"]
    assert by_bash("search", "--engine", "=", "o") == ["openvino"]
    assert by_bash("eval", "--use_pca", "=") == ["True", "False"]
    assert by_bash("train", "--train_state", "=", "t") == ["tuning"]
    assert by_bash("completion", "") == ["bash", "zsh", "fish"]
    assert by_bash("search", "photos") == []  # a file: bash itself
    assert by_bash("search", "--images_path", "=", "/") == []


def test_a_word_is_offered_only_what_it_takes():
    assert by_bash("index", "--feat") == ["--features_path="]
    assert by_bash("describe", "--max_iters") == []
    assert by_bash("match", "--forget") == []
    for word in WORDS:
        assert "--help" in by_bash(word, "--h")


def test_the_table_is_what_is_offered():
    words = {"frame": WORDS["search"]._replace(usage="[--gilded] [--tone=red|black]", help="it's")}
    script = completion.script("bash", words)
    assert by_bash("", script=script) == ["frame"]
    assert by_bash("frame", "--gil", script=script) == ["--gilded"]
    assert by_bash("frame", "--tone", "=", script=script) == ["red", "black"]


@pytest.mark.skipif(not shutil.which("fish"), reason="there is no fish")
def test_fish_completes(tmp_path):
    path = tmp_path / "delf.fish"
    path.write_text(completion.script("fish"))

    def offered(line):
        code = f"source {path}; complete -C {completion._fish_quoted(line)}"
        environment = {"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}
        run = subprocess.run(
            ["fish", "-c", code], capture_output=True, text=True, check=True, env=environment
        )
        return [line.split("\t")[0] for line in run.stdout.splitlines()]

    assert offered("delf dup") == ["duplicates"]
    assert "--engine=openvino" in offered("delf search --engine=")
    assert offered("delf search --forg") == ["--forget"]
    assert sorted(offered("delf completion ")) == ["bash", "fish", "zsh"]


@pytest.mark.skipif(not shutil.which("zsh"), reason="there is no zsh")
def test_zsh_completes(tmp_path):
    """Its function is called with stand-ins for what only its line editor has."""

    def offered(*words):
        given = " ".join(map(completion._quoted, ("delf", *words)))
        code = (
            "compdef() { : }; compset() { PREFIX=${PREFIX#*=} }; _files() { print files }\n"
            "_describe() { print -l ${(P)4%%:*} }\n"
            "compadd() { [[ $1 == -a ]] && { print -l ${(P)2}; return }; "
            "while [[ $1 == -* && $1 != -- ]]; do shift; [[ -z $1 ]] && shift; done; "
            "[[ $1 == -- ]] && shift; print -l -- $@ }\n"
            f"{completion.script('zsh')}\n"
            f"words=({given}); CURRENT={len(words) + 1}; PREFIX=$words[-1]; _delf"
        )
        run = subprocess.run(["zsh", "-fc", code], capture_output=True, text=True, check=True)
        assert not run.stderr
        return run.stdout.split()

    assert offered("") == list(WORDS)
    assert offered("search", "--engine=") == ["auto", "mindspore", "lite", "openvino"]
    assert {"--top=", "--forget", "--engine="} <= set(offered("search", "--"))
    assert "--top=" not in offered("match", "--")
    assert offered("search", "--work_path=") == ["files"]
    assert offered("search", "pho") == ["files"]
    assert offered("completion", "") == ["bash", "zsh", "fish"]


@pytest.mark.parametrize("shell", completion.SHELLS)
def test_every_script_is_one_that_its_shell_reads(shell):
    if not shutil.which(shell):
        pytest.skip(f"there is no {shell}")
    run = subprocess.run([shell, "-n"], input=completion.script(shell), text=True, check=True)
    assert run.returncode == 0


def test_other_shells_are_refused_in_a_line(capsys):
    with pytest.raises(UserError, match="delf completes in bash, zsh, fish, not in 'tcsh'"):
        completion.main(["tcsh"])
    with pytest.raises(UserError, match="give the shell: delf completion"):
        completion.main([])
    completion.main(["--help"])
    assert "eval" in capsys.readouterr().out
