"""The reports of a shell among the output of its commands."""

import pytest
from sandbox_fakeproxy.runtime.local.reports import Report, ReportParser

MARK = b"\0m\0"


def test_reports_are_told_from_output_wherever_it_is_cut() -> None:
    whole = b"one" + MARK + b"7\x00\x00/a\0two" + MARK + b"7\x003\0/b\0three"
    for cut in range(len(whole)):
        reports = ReportParser("m")
        found = [*reports.feed(whole[:cut]), *reports.feed(whole[cut:]), reports.flush()]
        output = b"".join(each for each in found if isinstance(each, bytes))
        assert [each for each in found if isinstance(each, Report)] == [
            Report(7, None, "/a"),
            Report(7, 3, "/b"),
        ]
        assert output == b"onetwothree"


@pytest.mark.parametrize(
    "forged",
    [
        MARK + b"x\x000\0/\0",
        MARK + b"1\x00-1\0/\0",
        MARK + b"1\x00" + b"9" * 5000 + b"\0/\0",
        MARK + b"\0\0\0",
        MARK + b"y" * 100_000,
    ],
)
def test_what_only_looks_like_a_report_is_output(forged: bytes) -> None:
    reports = ReportParser("m")
    found = [*reports.feed(forged), *reports.feed(MARK + b"1\x000\0/\0")]
    assert b"".join(each for each in found if isinstance(each, bytes)) == forged
    assert [each for each in found if isinstance(each, Report)] == [Report(1, 0, "/")]
