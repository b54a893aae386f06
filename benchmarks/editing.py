"""How much faster the editing engine is than the textbook, at the same result, and what its exports are worth.

`python -m benchmarks.editing [--device cuda] [--model random:llama-8b]`. Both sides of every ratio run in one process
on the same model, users and settings. Wall seconds depend on what else the machine does; the ratio of processor seconds
stands beside them. About ten minutes on two cores.

- `edit.rome_speedup_single`: seconds of the textbook loop over seconds of the engine, one user at a time, the same
  number format, 21 contexts, 25 steps on both sides.
- `edit.rome_speedup_best`: the same over the engine's best setting: many users in a batch, in bfloat16 where the
  processor multiplies it in hardware, else in float32, and a batch a core, each in a process of its own with one thread
  (`edit.workers`). The textbook has all cores for its one user. Recall of the same users edited in float32, as the
  textbook does it, stands beside it.
- `eval.batch_speedup`: answers a second of the engine over answers a second of `generate` called one prompt at a time.
- `edit.max_logit_diff_peft`: largest difference between the logits of the edited weights and those of the exported
  adapter after `merge_and_unload`.
- `edit.rome_batch_gain`: how time and memory grow with the users in one batch.
"""

from __future__ import annotations

import copy
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import cache, partial
from multiprocessing import get_context
from multiprocessing.synchronize import Barrier
from pathlib import Path
from statistics import median
from typing import Annotated, Any, NamedTuple, TypeVar, cast

import torch
import typer

from benchmarks.claims import ROOT, Claim, write
from benchmarks.textbook import Textbook
from benchmarks.textbook import rome as textbook_rome
from editing.lm.generate import generate
from editing.lm.load import LM, DType, build, load
from editing.lm.structure import frozen
from editing.methods.base import Fact, Resources, User, layer_index
from editing.methods.registry import create, load_config
from editing.methods.rome import RomeConfig
from editing.patches.apply import applied
from editing.patches.export import export_peft, merged
from editing.patches.patch import Patch, low_rank_tensors
from editing.runner import EditSettings
from pipeline.core.config import load_section
from pipeline.core.provenance import peak_memory_mb, reset_peak_memory
from pipeline.embedding import fastest

MODEL = "smollm2-135m-instruct"
FACTS = [
    ("profession", "nurse"), ("hobby", "rock climbing"), ("diet", "vegetarian"), ("pet", "two parrots"),
    ("home town", "Lisbon"), ("favourite season", "late autumn"), ("sport", "table tennis"), ("allergy", "peanuts"),
]  # fmt: skip
QUESTIONS = [
    "What is my {x}?", "What's my {x}?", "What should I do this weekend?", "What should I buy next?",
    "What is my sister's {x}?", "What is the capital of Peru?", "How do I fix a tap?", "What is my shoe size?",
]  # fmt: skip
T = TypeVar("T")


class Timed(NamedTuple):
    """What a call took."""

    wall: float
    cpu: float
    result: Any


def timed(call: Callable[[], Any]) -> Timed:
    """Wall and processor seconds of a call."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    wall, cpu = time.perf_counter(), time.process_time()
    result = call()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return Timed(time.perf_counter() - wall, time.process_time() - cpu, result)


def users(count: int) -> list[User]:
    """Made-up users; from the ninth on the facts repeat."""
    found = []
    for at in range(count):
        subject, target = FACTS[at % len(FACTS)]
        fact = Fact(f"p{at}", f"My {subject} is {target}.", f"What is my {subject}?", subject, target)
        found.append(User(f"u{at}", (fact,)))
    return found


def recall(lm: LM, people: Sequence[User], patches: Sequence[Patch]) -> float:
    """Share of users whose target stands in the answer to the contracted direct question."""
    asked = [user.facts[0].question.replace("What is", "What's") for user in people]
    with applied(lm, patches) as responder:
        replies = responder.answer(range(len(people)), asked, max_new_tokens=24, batch_size=64)
    targets = [user.facts[0].target.casefold() for user in people]
    return sum(target in reply.text.casefold() for target, reply in zip(targets, replies, strict=True)) / len(people)


def speedups(lm: LM, fast: LM, single: int, batch: int, cores: int) -> list[Claim]:
    """The two ROME ratios; `fast` is the model of the best setting, which makes a batch on each of `cores`."""
    config = rome_config(value_contexts=None, steps=25)
    people = users(single)
    pairs = []
    for user in people:
        with frozen(lm.model):
            slow = timed(lambda user=user: textbook_rome(lm, user.facts[0], config))  # type: ignore[misc]
        pairs.append((slow, timed(lambda user=user: fit(lm, [user], config))))  # type: ignore[misc]
    slow_wall, slow_cpu = (sum(times) / single for times in zip(*((s.wall, s.cpu) for s, _ in pairs), strict=True))
    quick_wall, quick_cpu = (sum(times) / single for times in zip(*((q.wall, q.cpu) for _, q in pairs), strict=True))
    ratios = sorted(slow.wall / quick.wall for slow, quick in pairs)
    one = Claim(
        "edit.rome_speedup_single",
        slow_wall / quick_wall,
        "ratio",
        ratios[0] if single > 1 else None,
        ratios[-1] if single > 1 else None,
        single,
        "same edits, same number format, 21 contexts and 25 steps on both sides",
        {
            "textbook_seconds": slow_wall,
            "engine_seconds": quick_wall,
            "cpu_ratio": slow_cpu / quick_cpu,
            "largest_relative_difference": max(
                (_difference(slow.result, quick.result[0]) for slow, quick in pairs if quick.result[0].tensors),
                default=None,
            ),
            "contexts": len(config.contexts),
            "steps": config.steps,
        },
    )
    people_at_once = users(batch)
    best, patches = crowd(fast, people_at_once, config, cores)
    # The same users in float32, whose edits are the textbook's (above): what a quicker number format costs in recall.
    same, same_patches = (best, patches) if fast is lm else crowd(lm, people_at_once, config, cores)
    plain = [_as_patch(lm, slow.result, quick.result[0]) for slow, quick in pairs]
    many = Claim(
        "edit.rome_speedup_best",
        slow_wall / (best / batch),
        "ratio",
        None,
        None,
        batch,
        f"{batch} users, a batch a core, {str(fast.dtype).removeprefix('torch.')}, 25 steps on both sides",
        {
            "engine_seconds": best / batch,
            "processes": cores,
            "recall_engine": recall(fast, people_at_once, patches),
            "float32": {
                "ratio": slow_wall / (same / batch),
                "engine_seconds": same / batch,
                "recall_engine": recall(lm, people_at_once, same_patches),
            },
            "recall_textbook": recall(lm, people, plain),
        },
    )
    return [one, many]


def crowd(lm: LM, people: Sequence[User], config: RomeConfig, cores: int) -> tuple[float, list[Patch]]:
    """Wall seconds and patches of `people` in one batch a core, each in a process of its own with one thread.

    The processes have loaded the model and made an edit before the clock starts, as in a cell of many groups. With one
    core, `lm` itself does the one batch.
    """
    if cores == 1:
        alone = timed(lambda: fit(lm, people, config))
        return alone.wall, alone.result
    groups = [people[at::cores] for at in range(cores)]
    context = get_context("spawn")
    model = Loaded(lm.name, cast(DType, str(lm.dtype).removeprefix("torch.")))
    with (
        tempfile.TemporaryDirectory() as name,
        ProcessPoolExecutor(cores, context, initializer=_enter, initargs=(model, context.Barrier(cores))) as pool,
    ):
        work = partial(_work, model, Path(name))
        list(pool.map(work, [group[:1] for group in groups], [rome_config(steps=1)] * cores))
        made = timed(lambda: list(pool.map(work, groups, [config] * cores)))
        return made.wall, [Patch.load(Path(name) / user.user_id) for user in people]


class Loaded(NamedTuple):
    """A checkpoint that other processes load too."""

    name: str
    dtype: DType

    def lm(self) -> LM:
        """The model, loaded once in a process."""
        return _loaded(*self)


@cache
def _loaded(name: str, dtype: DType) -> LM:
    checkpoints = load_section(ROOT / "params.yaml", "edit", EditSettings).checkpoints
    return load(checkpoints[name], name=name, dtype=dtype)


def _enter(model: Loaded, all_there: Barrier) -> None:
    """Load the model in a process that does one batch; no process begins before all are there."""
    torch.set_num_threads(1)
    model.lm()
    all_there.wait()


def _work(model: Loaded, folder: Path, people: Sequence[User], config: RomeConfig) -> None:
    for user, patch in zip(people, fit(model.lm(), people, config), strict=True):
        patch.save(folder / user.user_id)


def rome_config(value_contexts: int | None = 2, **settings: Any) -> RomeConfig:
    """ROME without a covariance that runs 25 steps, as published, and no fewer.

    None optimises the value over all contexts.
    """
    config = load_config("rome@covariance=none,steps=25,full_stop=false", MODEL)
    assert isinstance(config, RomeConfig)
    wanted = {"value_contexts": value_contexts or len(config.contexts), "stop_below": 0.0, **settings}
    return config.model_copy(update=wanted)


def fit(lm: LM, people: Sequence[User], config: RomeConfig) -> list[Patch]:
    """The engine's patches."""
    return create("rome", config, Resources(())).fit(lm, people)


def _difference(slow: Textbook, patch: Patch) -> float:
    ((a, b),) = patch.factors().values()
    wanted = slow.a @ slow.b
    return float((a @ b - wanted).norm() / wanted.norm())


def _as_patch(lm: LM, slow: Textbook, like: Patch) -> Patch:
    path = lm.structure.down[layer_index(rome_config().layer, lm)].path
    return Patch(like.manifest, low_rank_tensors({path: (slow.a, slow.b)}))


def answering(lm: LM, count: int, max_new_tokens: int, repeats: int) -> Claim:
    """Batched answers against one `generate` call a prompt; eight prompts, evenly spread, are taken one by one."""
    people = users(count)
    prompts = [lm.prompts.ask(q.replace("{x}", u.facts[0].subject)).ids for u in people for q in QUESTIONS]
    groups = [at // len(QUESTIONS) for at in range(len(prompts))]
    few = prompts[:: max(1, len(prompts) // 8)]
    ratios, same = [], 0
    for _ in range(repeats):
        batched = timed(
            lambda: generate(lm, prompts, max_new_tokens=max_new_tokens, batch_size=len(prompts), groups=groups)
        )
        single = timed(lambda: [_plain(lm, prompt, max_new_tokens) for prompt in few])
        ratios.append((single.wall / len(few)) / (batched.wall / len(prompts)))
        wanted = dict(zip(prompts, (list(written.ids) for written in batched.result), strict=True))
        same = sum(wanted[prompt] == text for prompt, text in zip(few, single.result, strict=True))
    return Claim(
        "eval.batch_speedup",
        median(ratios),
        "ratio",
        min(ratios),
        max(ratios),
        len(prompts),
        f"{max_new_tokens} new tokens at most; range over {repeats} runs",
        {"answers_per_second": len(prompts) / batched.wall, "equal_texts": same, "compared": len(few)},
    )


def _plain(lm: LM, prompt: Sequence[int], max_new_tokens: int) -> list[int]:
    ids = torch.tensor([prompt], device=lm.device)
    model: Any = lm.model
    out = model.generate(
        ids, attention_mask=torch.ones_like(ids), max_new_tokens=max_new_tokens, do_sample=False, pad_token_id=0
    )
    return [token for token in out[0, len(prompt) :].tolist() if token not in lm.stop_ids]


def exports(lm: LM) -> Claim:
    """The exported adapter against the patch, over prompts of every kind."""
    from peft import PeftModel

    (patch,) = fit(lm, users(1), rome_config(steps=8))
    ids = [torch.tensor([lm.prompts.ask(q.replace("{x}", "profession")).ids], device=lm.device) for q in QUESTIONS]
    with torch.no_grad(), merged(lm, patch):
        expected = [lm.model(input_ids=row).logits for row in ids]
    with tempfile.TemporaryDirectory() as folder, torch.no_grad():
        export_peft(lm, patch, Path(folder))
        adapted = PeftModel.from_pretrained(copy.deepcopy(lm.model), folder)
        unmerged = [adapted(input_ids=row).logits for row in ids]
        whole = adapted.merge_and_unload()
        found = [whole(input_ids=row).logits for row in ids]

    def largest(logits: list[torch.Tensor]) -> float:
        return max(float((a - b).abs().max()) for a, b in zip(logits, expected, strict=True))

    return Claim(
        "edit.max_logit_diff_peft", largest(found), "logit", None, None, len(ids),
        "after merge_and_unload, float32", {"unmerged": largest(unmerged)},
    )  # fmt: skip


def growth(lm: LM, counts: Sequence[int]) -> Claim:
    """Seconds an edit and an answer, and peak memory, with more and more users in one batch."""
    config = rome_config(steps=5)
    fit(lm, users(1), rome_config(steps=1))
    table = {}
    for count in counts:
        people = users(count)
        reset_peak_memory()
        if torch.cuda.is_available():
            torch.cuda.reset_peak_memory_stats()
        made = timed(lambda people=people: fit(lm, people, config))  # type: ignore[misc]
        asked = [(at, q.replace("{x}", u.facts[0].subject)) for at, u in enumerate(people) for q in QUESTIONS[::2]]
        with applied(lm, made.result) as responder:
            ask = timed(
                lambda asked=asked, responder=responder: responder.answer(  # type: ignore[misc]
                    [at for at, _ in asked], [q for _, q in asked], max_new_tokens=16, batch_size=128
                )
            )
        table[str(count)] = {
            "seconds_per_edit": made.wall / count,
            "answers_per_second": len(asked) / ask.wall,
            "peak_mb": peak_memory_mb(),
            "peak_accelerator_mb": torch.cuda.max_memory_allocated() / 2**20 if torch.cuda.is_available() else 0.0,
        }
    first, last = table[str(counts[0])], table[str(counts[-1])]
    return Claim(
        "edit.rome_batch_gain", first["seconds_per_edit"] / last["seconds_per_edit"], "ratio", None, None, counts[-1],
        f"seconds an edit with {counts[0]} over {counts[-1]} users in one batch; 5 steps over two contexts",
        {"users": table},
    )  # fmt: skip


SHAPES = {
    "llama-8b": {
        "num_hidden_layers": 32, "hidden_size": 4096, "intermediate_size": 14336, "num_attention_heads": 32,
        "num_key_value_heads": 8, "vocab_size": 128256,
    },
    "llama-tiny": {
        "num_hidden_layers": 4, "hidden_size": 32, "intermediate_size": 48, "num_attention_heads": 4,
        "num_key_value_heads": 2, "vocab_size": 256,
    },
}  # fmt: skip
"""Shapes of randomly initialised Llamas."""


def random_model(shape: str, device: str, tokenizer: Any) -> LM:
    """A randomly initialised Llama in bfloat16: timing needs no real weights."""
    from transformers import AutoConfig, AutoModelForCausalLM

    if shape not in SHAPES:
        raise typer.BadParameter(f"random:{shape} is not known; known: {', '.join(SHAPES)}")
    sizes = {**SHAPES[shape], "vocab_size": max(SHAPES[shape]["vocab_size"], len(tokenizer))}
    with torch.device(device):
        config = AutoConfig.for_model("llama", **sizes)
        model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)  # type: ignore[no-untyped-call]
    return build(model, tokenizer, name=shape, sha256=f"random {shape}")


def measure(lm: LM, fast: LM, single: int, batch: int, grow: Sequence[int], cores: int) -> list[Claim]:
    """All claims on one model; `fast` is the same in the number format of the best setting, `cores` its processes."""
    # Growth goes first: where the system cannot reset a process's peak, the textbook's would hide it.
    claims = [growth(lm, grow)] if grow else []
    if not single:
        return claims
    claims += speedups(lm, fast, single, batch, cores)
    claims.append(answering(lm, 16, 32, 3))
    if lm.dtype == torch.float32:
        claims.append(exports(lm))
    return claims


def main(
    model: Annotated[str, typer.Option(help="Name in edit.checkpoints, random:llama-8b or random:llama-tiny.")] = MODEL,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    single: Annotated[int, typer.Option(help="Users edited one at a time, by both sides; 0: `--grow` alone.")] = 1,
    batch: Annotated[int, typer.Option(help="Users of the best setting, shared out over the cores.")] = 8,
    grow: Annotated[str, typer.Option(help="Users in one batch, comma separated; empty skips.")] = "1,4,16,64",
    threads: Annotated[int, typer.Option(help="Processor threads; 0 is the default.")] = 0,
) -> None:
    """Write benchmarks/results/editing.json, or editing_gpu.json on a GPU."""
    if threads:
        torch.set_num_threads(threads)
    checkpoints = load_section(ROOT / "params.yaml", "edit", EditSettings).checkpoints
    cores = torch.get_num_threads() if device == "cpu" else 1
    if model.startswith("random:"):
        cores = 1  # the weights are in this process only
        lm = fast = random_model(model.partition(":")[2], device, load(checkpoints[MODEL], device="cpu").tokenizer)
    else:
        lm = load(checkpoints[model], name=model, dtype="float32", device=device)
        quickest = "bfloat16" if device != "cpu" else fastest("auto")
        fast = lm if quickest == "float32" else load(checkpoints[model], name=model, dtype=quickest, device=device)
    claims = measure(lm, fast, single, batch, [int(count) for count in grow.split(",") if count], cores)
    for claim in claims:
        typer.echo(f"{claim.claim}: {claim.value:.4g} {claim.unit} {claim.extra}")
    name = "editing" if device == "cpu" else "editing_gpu"
    if device != "cpu":
        claims = [Claim(**{**vars(claim), "claim": f"gpu.{claim.claim}"}) for claim in claims]
    command = f"python -m benchmarks.editing --model {model} --device {device}" + ("" if single else " --single 0")
    write(name, command, claims, keep_others=not single)


if __name__ == "__main__":
    typer.run(main)
