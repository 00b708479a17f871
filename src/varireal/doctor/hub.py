"""What a checkpoint of the hub would cost: is it in the local cache, and if not, how large is it? Nothing is loaded."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

SECONDS = 5.0  # to wait for the hub; after one failure it is not asked again
VARIANTS = re.compile(r"\.(fp16|bf16|fp32|non_ema|ema)\.|\.(fp16|bf16|fp32|non_ema|ema)(?=-\d)")


@dataclasses.dataclass(frozen=True)
class HubCheckpoint:
    """A checkpoint that params.yaml names for the hub."""

    key: str  # where params.yaml names it
    repository: str  # owner/name
    revision: str | None = None
    variant: str | None = None  # of the weights' files, such as fp16
    pipeline: bool = False  # of diffusers: weights lie in folders, one a network
    files: tuple[str, ...] = ()  # these, whatever else
    folders: tuple[str, ...] = (".",)  # where weights lie; not read for a pipeline


def needed_bytes(files: Iterable[tuple[str, int]], checkpoint: HubCheckpoint) -> int:
    """Return how much of a repository is loaded: its safetensors of the variant, and its small text files.

    Repositories hold the same weights several times: pickled, of other frameworks and precisions, and beside a
    pipeline's folders once more in a single file. Those are not counted. A network of a pipeline that has no weights of
    the asked variant is counted with its plain ones, as diffusers loads them.

    Args:
        files: relative names with sizes in bytes.
    """
    total = 0
    weights: dict[str, dict[str, int]] = {}  # by folder
    for name, size in files:
        folder, suffix = str(PurePosixPath(name).parent), PurePosixPath(name).suffix
        if name in checkpoint.files:
            total += size
        elif suffix == ".safetensors" and (folder != "." if checkpoint.pipeline else folder in checkpoint.folders):
            weights.setdefault(folder, {})[name] = size
        elif suffix in (".json", ".txt", ".model") and (checkpoint.pipeline or folder in checkpoint.folders):
            total += size
    return total + sum(sum(_of_variant(group, checkpoint.variant).values()) for group in weights.values())


def _of_variant(weights: dict[str, int], variant: str | None) -> dict[str, int]:
    plain = {name: size for name, size in weights.items() if not VARIANTS.search(PurePosixPath(name).name)}
    asked = {name: size for name, size in weights.items() if variant and f".{variant}" in PurePosixPath(name).name}
    return asked or plain


def cached_bytes(checkpoint: HubCheckpoint) -> int | None:
    """Return the size of what the local cache holds of the checkpoint's revision; None if it holds no weights."""
    from huggingface_hub import constants
    from huggingface_hub.file_download import repo_folder_name

    folder = Path(constants.HF_HUB_CACHE) / repo_folder_name(repo_id=checkpoint.repository, repo_type="model")
    revision = checkpoint.revision or "main"
    reference = folder / "refs" / revision
    commit = reference.read_text(encoding="ascii").strip() if reference.is_file() else revision
    snapshot = folder / "snapshots" / commit
    files = [path for path in snapshot.rglob("*") if path.is_file()] if snapshot.is_dir() else []
    if not any(path.suffix == ".safetensors" for path in files):
        return None
    named = [(path.relative_to(snapshot).as_posix(), path.stat().st_size) for path in files]
    return needed_bytes(named, checkpoint)


class Hub:
    """The hub's answers about sizes; it is not asked again once it does not answer."""

    def __init__(self, endpoint: str | None = None) -> None:
        from huggingface_hub import constants

        self._endpoint = endpoint
        self.problem: str | None = "offline mode (HF_HUB_OFFLINE)" if constants.HF_HUB_OFFLINE else None

    def size(self, checkpoint: HubCheckpoint) -> int | str:
        """Return what would be loaded, in bytes, or why that is unknown.

        Raises:
            LookupError: the hub knows no such repository or revision, or hides it from this user.
        """
        from huggingface_hub import HfApi
        from huggingface_hub.errors import HfHubHTTPError, HTTPError, RepositoryNotFoundError, RevisionNotFoundError

        if self.problem:
            return self.problem
        try:
            info = HfApi(self._endpoint).model_info(
                checkpoint.repository, revision=checkpoint.revision, files_metadata=True, timeout=SECONDS
            )
        except (RepositoryNotFoundError, RevisionNotFoundError) as error:
            raise LookupError(" ".join(str(error).split())[:200]) from error
        except HfHubHTTPError as error:
            return f"the hub answers {error.response.status_code}"
        except (OSError, HTTPError) as error:
            self.problem = f"offline ({type(error).__name__})"
            return self.problem
        return needed_bytes(((file.rfilename, file.size or 0) for file in info.siblings or ()), checkpoint)
