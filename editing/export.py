"""The command `upqa edit export`: a patch as a PEFT LoRA folder or as an edited checkpoint."""

from pathlib import Path
from typing import Annotated

import typer

from pipeline.core.command import friendly


@friendly
def export(
    patch: Annotated[Path, typer.Option(help="Patch file of a run, below results/<model>/<method>/patches.")],
    out: Annotated[Path, typer.Option(help="Folder to write.")],
    form: Annotated[str, typer.Option("--format", help="peft or merged.")] = "peft",
    model: Annotated[str | None, typer.Option(help="Name in edit.checkpoints or source; else the patch's own.")] = None,
    params: Annotated[Path, typer.Option(help="Settings file.")] = Path("params.yaml"),
) -> None:
    """Write a fitted edit in a form that PEFT, vLLM or transformers loads.

    Example: upqa edit export --patch results/smollm2-135m-instruct/rome/patches/ID.safetensors --out my-adapter
    """
    from editing.lm.load import load
    from editing.patches.export import export_merged, export_peft
    from editing.patches.patch import Patch
    from editing.runner import EditSettings
    from pipeline.core.config import load_section
    from pipeline.core.errors import unknown_name
    from pipeline.core.progress import console

    writers = {"peft": export_peft, "merged": export_merged}
    if form not in writers:
        raise unknown_name("format", form, writers)
    settings = load_section(params, "edit", EditSettings)
    loaded = Patch.load(patch)
    name = model or loaded.manifest.model
    source = settings.checkpoints.get(name) or (name if model else loaded.manifest.source or name)
    lm = load(source, name=name, dtype=settings.dtype, device=settings.device)
    writers[form](lm, loaded, out)
    console.print(f"{form} -> {out}", highlight=False)
