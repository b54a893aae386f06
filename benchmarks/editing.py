"""How much faster the editing engine is than the textbook, at the same result, and what its exports are worth.

`python -m benchmarks.editing [--device cuda] [--model random:llama-8b]`. Both sides of every ratio run in one process,
in turns, on the same model, users and settings. Wall seconds depend on what else the machine does; the ratio of
processor seconds stands beside them.

- `edit.rome_speedup_single`: seconds of the textbook loop over seconds of the engine, one user at a time, the same
  number format, 21 contexts, 25 steps, nothing stops early.
- `edit.rome_speedup_best`: the same over the best setting: users in one batch, bfloat16, finished users leave.
- `eval.batch_speedup`: answers a second of the engine over answers a second of `generate` called one prompt at a time.
- `edit.max_logit_diff_peft`: largest difference between the logits of the edited weights and those of the exported
  adapter after `merge_and_unload`.
"""

from __future__ import annotations

import copy
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Annotated, Any, NamedTuple, TypeVar

import torch
import typer

from benchmarks.claims import ROOT, Claim, write
from benchmarks.textbook import rome as textbook_rome
from editing.lm.generate import generate
from editing.lm.load import LM, build, load
from editing.lm.structure import frozen
from editing.methods.base import Fact, Resources, User
from editing.methods.registry import create, load_config
from editing.methods.rome import RomeConfig
from editing.patches.apply import applied
from editing.patches.export import export_peft, merged
from editing.patches.patch import Patch
from editing.runner import EditSettings
from pipeline.core.config import load_section

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
    hits = [user.facts[0].target in reply.text.casefold() for user, reply in zip(people, replies, strict=True)]
    return sum(hits) / len(hits)


def speedups(lm: LM, fast: LM, single: int, batch: int) -> list[Claim]:
    """The two ROME ratios; `fast` is the model of the best setting."""
    config = load_config("rome_identity", MODEL)
    assert isinstance(config, RomeConfig)
    config = config.model_copy(update={"value_contexts": len(config.contexts), "steps": 25})
    full = config.model_copy(update={"stop_below": 0.0})
    people = users(single)
    pairs = []
    for user in people:
        with frozen(lm.model):
            slow = timed(lambda user=user: textbook_rome(lm, user.facts[0], full))  # type: ignore[misc]
        quick = timed(lambda user=user: create("rome_identity", full, Resources(())).fit(lm, [user]))  # type: ignore[misc]
        pairs.append((slow, quick))
    ratios = sorted(slow.wall / quick.wall for slow, quick in pairs)
    slow_edit = sum(slow.wall for slow, _ in pairs) / single
    one = Claim(
        "edit.rome_speedup_single",
        slow_edit * single / sum(quick.wall for _, quick in pairs),
        "ratio",
        ratios[0],
        ratios[-1],
        single,
        "same edits, same number format; range over users",
        {
            "textbook_seconds": slow_edit,
            "engine_seconds": sum(quick.wall for _, quick in pairs) / single,
            "cpu_ratio": sum(slow.cpu for slow, _ in pairs) / sum(quick.cpu for _, quick in pairs),
            "largest_relative_difference": max(_difference(slow.result, quick.result[0]) for slow, quick in pairs),
            "contexts": len(full.contexts),
            "steps": full.steps,
        },
    )
    crowd = users(batch)
    best = timed(lambda: create("rome_identity", config, Resources(())).fit(fast, crowd))
    plain = create("rome_identity", full, Resources(())).fit(lm, people)
    slow_cpu = sum(slow.cpu for slow, _ in pairs) / single
    many = Claim(
        "edit.rome_speedup_best",
        slow_edit / (best.wall / batch),
        "ratio",
        None,
        None,
        batch,
        f"{batch} users in one batch, {str(fast.dtype).removeprefix('torch.')}, finished users leave",
        {
            "engine_seconds": best.wall / batch,
            "cpu_ratio": slow_cpu / (best.cpu / batch),
            "recall_engine": recall(fast, crowd, best.result),
            "recall_textbook": recall(lm, people, plain),
        },
    )
    return [one, many]


def _difference(slow: Any, patch: Patch) -> float:
    ((a, b),) = patch.factors().values()
    wanted = slow.a @ slow.b
    return float((a @ b - wanted).norm() / wanted.norm())


def answering(lm: LM, count: int, max_new_tokens: int, repeats: int) -> Claim:
    """Batched answers against one `generate` call a prompt; every fourth prompt is taken one by one."""
    people = users(count)
    prompts = [lm.prompts.ask(q.replace("{x}", u.facts[0].subject)).ids for u in people for q in QUESTIONS]
    groups = [at // len(QUESTIONS) for at in range(len(prompts))]
    few = prompts[:: max(1, len(prompts) // 16)]
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

    config = load_config("rome_identity", MODEL).model_copy(update={"steps": 8})
    (patch,) = create("rome_identity", config, Resources(())).fit(lm, users(1))
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
    """Seconds per edit and per answer with more users in one batch, as the engine is configured for the demo."""
    config = load_config("rome_identity", MODEL)
    table = {}
    for count in counts:
        people = users(count)
        fit = timed(lambda people=people: create("rome_identity", config, Resources(())).fit(lm, people))  # type: ignore[misc]
        asked = [(at, q.replace("{x}", u.facts[0].subject)) for at, u in enumerate(people) for q in QUESTIONS]
        with applied(lm, fit.result) as responder:
            ask = timed(
                lambda asked=asked, responder=responder: responder.answer(  # type: ignore[misc]
                    [at for at, _ in asked], [q for _, q in asked], max_new_tokens=16, batch_size=128
                )
            )
        table[str(count)] = {"seconds_per_edit": fit.wall / count, "answers_per_second": len(asked) / ask.wall}
    last = table[str(counts[-1])]["seconds_per_edit"]
    return Claim(
        "edit.rome_seconds_per_edit", last, "s", None, None, counts[-1],
        "as configured for the demo, by users in one batch", {"users": table},
    )  # fmt: skip


def random_model(shape: str, device: str) -> LM:
    """A randomly initialised Llama of 8B shape with the packaged tokenizer: timing needs no real weights."""
    from transformers import AutoConfig, AutoModelForCausalLM

    if shape != "llama-8b":
        raise typer.BadParameter("only random:llama-8b is known")
    settings = load_section(ROOT / "params.yaml", "edit", EditSettings)
    tokenizer = load(settings.checkpoints[MODEL], device="cpu").tokenizer
    config = AutoConfig.for_model(
        "llama", num_hidden_layers=32, hidden_size=4096, intermediate_size=14336, num_attention_heads=32,
        num_key_value_heads=8, vocab_size=128256,
    )  # fmt: skip
    with torch.device(device):
        model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
    return build(model, tokenizer, name=shape)


def main(
    model: Annotated[str, typer.Option(help="Name in edit.checkpoints, or random:llama-8b.")] = MODEL,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    single: Annotated[int, typer.Option(help="Users edited one at a time, by both sides.")] = 3,
    batch: Annotated[int, typer.Option(help="Users in the batch of the best setting.")] = 8,
    grow: Annotated[str, typer.Option(help="Users in one batch, comma separated; empty skips.")] = "1,4,16,64",
    threads: Annotated[int, typer.Option(help="Processor threads; 0 is the default.")] = 0,
) -> None:
    """Write benchmarks/results/editing.json, or gpu.json on a GPU."""
    if threads:
        torch.set_num_threads(threads)
    if model.startswith("random:"):
        lm = fast = random_model(model.partition(":")[2], device)
    else:
        settings = load_section(ROOT / "params.yaml", "edit", EditSettings)
        lm = load(settings.checkpoints[model], name=model, dtype="float32", device=device)
        fast = load(settings.checkpoints[model], name=model, dtype="bfloat16", device=device)
    claims = [*speedups(lm, fast, single, batch), answering(lm, 16, 32, 3)]
    if lm.dtype == torch.float32:
        claims.append(exports(lm))
    if grow:
        claims.append(growth(lm, [int(count) for count in grow.split(",")]))
    for claim in claims:
        typer.echo(f"{claim.claim}: {claim.value:.4g} {claim.unit} {claim.extra}")
    name = "editing" if device == "cpu" else "editing_gpu"
    if device != "cpu":
        claims = [Claim(**{**vars(claim), "claim": f"gpu.{claim.claim}"}) for claim in claims]
    write(name, f"python -m benchmarks.editing --model {model} --device {device}", claims)


if __name__ == "__main__":
    typer.run(main)
