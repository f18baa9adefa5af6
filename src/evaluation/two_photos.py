"""The match of two photos that a file names: described, matched, drawn."""

from __future__ import annotations

from src.common.atomic_files import check_writable
from src.common.file_names import file_name_for
from src.describe.pca_choice import find_pca
from src.describe.recipe import choose_describer
from src.describe.tasks import chosen_tasks
from src.evaluation.pair import listed_photos, match_images
from src.evaluation.settings import MatchTaskSettings
from src.evaluation.stage_log import stage_log
from src.ranking.pair import MatchSettings, PairMatch


def match_two_photos(settings: MatchTaskSettings) -> PairMatch:
    """Match the two photos named in a list and draw their inliers.

    Logs: `extract_feature.log` and `match_images.log` in the current folder. Descriptors are
    reduced where a PCA for these weights is at hand, and matched in full length otherwise.

    Raises:
        UserError: the list, a photo, the checkpoint or settings are missing or do not fit.
    """
    with stage_log("extract_feature.log"):
        check_writable(settings.match_output)
        photos = listed_photos(settings.list_images_path, settings.images_path)
        pair = [name for name, _ in photos]
        describer = choose_describer(settings.describe)
        pca = find_pca(settings.describe, describer)
        if pca is None:
            describer = describer.without_pca()
        key = describer.folder_name(settings.images_path)
        folder = settings.work_path / file_name_for(f"{key}-{'-'.join(pair)}", 143) / "features"
        tasks = chosen_tasks(settings.images_path, {name: name for name in pair})
        describer.extract(settings.images_path, folder, pca, tasks, max_bad_fraction=0.0)
    with stage_log("match_images.log"):
        return match_images(
            settings.list_images_path,
            settings.images_path,
            folder,
            settings.match_output,
            MatchSettings(verify=settings.retrieval.verify),
        )
