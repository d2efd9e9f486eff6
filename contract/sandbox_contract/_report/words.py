"""What a run comes to, in words that every report shares."""

from collections.abc import Mapping

from sandbox_contract._clauses.clause import Level
from sandbox_contract._verdict import Outcome, Result

MEANINGS: Mapping[Outcome, str] = {
    Outcome.FAIL: "A MUST is broken: the target does something else.",
    Outcome.ERROR: "Not judged: the suite itself broke, which says nothing of the target.",
    Outcome.FINDING: "A SHOULD is not met: the target has a bug that is known of the proxy.",
    Outcome.UNSUPPORTED: "Not judged: this run lacks what the clause needs.",
    Outcome.PASS: "The target does what the clause says.",
}
WORST_FIRST = tuple(MEANINGS)
# What there is more to say of than its name.
TOLD = (Outcome.FAIL, Outcome.ERROR, Outcome.FINDING)


def plural(number: int, noun: str) -> str:
    """Return a number and what it counts."""
    return f"{number} {noun}" + ("" if number == 1 else "s")


def tally(result: Result) -> str:
    """Return in one line how many clauses came to what."""
    counts = [f"{result.counts[outcome]} {outcome}" for outcome in WORST_FIRST]
    return f"{plural(len(result.verdicts), 'clause')}: {', '.join(counts)}"


def headline(result: Result) -> str:
    """Return what the run says of the target, in one sentence without its full stop."""
    said = _of_musts(result)
    return said if result.is_complete else f"{said}; the run was not finished"


def standing(result: Result) -> Outcome:
    """Return as what the run as a whole is shown."""
    if result.exit_code:
        return Outcome.FAIL if result.exit_code == 1 else Outcome.ERROR
    return Outcome.PASS if Outcome.PASS in _musts(result) else Outcome.UNSUPPORTED


def remarks(result: Result) -> list[str]:
    """Return what the headline leaves out, a sentence each."""
    counts, said = result.counts, list[str]()
    if number := counts[Outcome.ERROR]:
        said.append(f"The suite broke on {plural(number, 'clause')}; the target is not to blame.")
    if number := counts[Outcome.FINDING]:
        said.append(f"{_verb(number, 'SHOULD clause', 'is', 'are')} not met.")
    if number := counts[Outcome.UNSUPPORTED]:
        said.append(f"{_verb(number, 'clause', 'needs', 'need')} more than this run has.")
    if number := len(result.remains):
        said.append(f"{_verb(number, 'thing', 'is', 'are')} left on the target.")
    return said


def duration(seconds: float) -> str:
    """Return a time in the unit that people think of it in."""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s"


def _of_musts(result: Result) -> str:
    counts, musts = result.counts, _musts(result)
    if not result.verdicts:
        return "Nothing was judged"
    if counts[Outcome.FAIL]:
        return _verb(counts[Outcome.FAIL], "MUST clause", "fails", "fail")
    if Outcome.PASS not in musts:
        return "No MUST could be judged"
    if counts[Outcome.ERROR]:
        return "No MUST fails, but the suite broke"
    if Outcome.UNSUPPORTED in musts:
        return "Every MUST that could be judged holds"
    return "Every MUST holds"


def _musts(result: Result) -> set[Outcome]:
    return {each.outcome for each in result.verdicts if each.clause.level is Level.MUST}


def _verb(number: int, noun: str, one: str, many: str) -> str:
    return f"{plural(number, noun)} {one if number == 1 else many}"
