"""A run as Markdown."""

from state.analysis.ranking import fastest_lines
from state.analysis.table import STALL, TABLE_HEADINGS, table_rows
from state.analysis.words import limits_line, memory_words, model_line, rounds_words
from state.run.records import Run


def to_markdown(run: Run) -> bytes:
    """A table for a report, with what it takes to read it."""
    model, plan, environment = run.model, run.plan, run.environment
    rows = [dict(zip(TABLE_HEADINGS, cells, strict=True)) for cells in table_rows(run)]
    headings = [heading for heading in TABLE_HEADINGS if heading != STALL or any(row[STALL] for row in rows)]
    lines = [
        f"# Checkpoint run {run.run_id}",
        "",
        f"- Model: {model_line(run) if model else plan.model}",
        *([f"- Memory: {memory_words(run.memory)}"] if run.memory is not None else []),
        f"- Storage: {environment.storage} ({environment.filesystem.type}), saves {plan.durability}, "
        f"loads {plan.cache}, memory {plan.memory.replace('-', ' ')}, {rounds_words(plan.repeats)}, seed {plan.seed}, "
        f"device {plan.device}",
        f"- Limit: {limits_line(run) or 'not measured'}",
        f"- Machine: {environment.cpu}, {environment.cores} cores, {environment.system}, Python {environment.python}",
        f"- Libraries: {', '.join(f'{name} {version}' for name, version in environment.libraries.items())}",
        "",
        "| " + " | ".join(headings) + " |",
        "|" + "---|" * len(headings),
    ]
    lines += ["| " + " | ".join(row[heading].replace("|", r"\|") for heading in headings) + " |" for row in rows]
    lines += ["", *(f"- {sentence}" for sentence in fastest_lines(run, complete=True))]
    lines += ["", *(f"> {sentence}" for sentence in run.advice)]
    return ("\n".join(lines).rstrip() + "\n").encode()
