"""Random networks of every architecture that conf/models/sdxl.yaml names, a few pixels small, in one folder.

    python -m tests.tiny_checkpoints models/tiny

writes what `models=tiny` loads: the same calls of diffusers, transformers and open_clip that load full-size
checkpoints find the same files here, whose networks have learned nothing.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from pathlib import Path

from tests.editing.filters.tiny_vlms import save_tiny_vlm
from tests.editing.tiny_pipelines import save_pipeline, save_refiner
from tests.segmentation.tiny_checkpoints import save_clipseg, save_grounding_dino, save_sam2, save_sam3, seeded

CLIP = {
    "embed_dim": 32,
    "vision_cfg": {"image_size": 32, "patch_size": 16, "width": 32, "layers": 2, "head_width": 16},
    "text_cfg": {"context_length": 24, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2},
}


def save_clip(folder: Path) -> Path:
    """A folder in open_clip's format: a CLIP of two blocks a tower for pictures of 32 pixels."""
    import open_clip
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": CLIP, "preprocess_cfg": {}}))
    with seeded(0):
        model = open_clip.create_model(f"local-dir:{folder}")
    weights = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    save_file(weights, folder / "open_clip_model.safetensors")
    return folder


def save_all(folder: Path) -> None:
    """Write all checkpoints; the folder appears when it is whole.

    Raises:
        FileExistsError: it is there.
    """
    if folder.exists():
        raise FileExistsError(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(prefix=".tiny-", dir=folder.parent))
    try:
        save_grounding_dino(made / "grounding-dino")
        save_sam2(made / "sam2", video=True)
        save_sam3(made / "sam3")
        save_clipseg(made / "clipseg")
        save_pipeline(made / "sd2-base", xl=False)
        save_pipeline(made / "sdxl-inpaint", xl=True, inpaint=True)
        save_refiner(made / "refine", xl=True)
        save_tiny_vlm("llava_next", made / "llava-next")
        save_clip(made / "clip")
        made.rename(folder)
    finally:
        shutil.rmtree(made, ignore_errors=True)


if __name__ == "__main__":
    try:
        save_all(Path(sys.argv[1]))
    except FileExistsError as error:
        sys.exit(f"{error} is there already; remove it first")
