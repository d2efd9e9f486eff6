"""What fields hold, as patterns that compare equal to what fits."""

import re

from dirty_equals import AnyThing, IsInt, IsStr, IsUUID

from sandbox_contract._run.moments import FORM

TIMESTAMP = IsStr(regex=FORM.pattern)
TEXT = IsStr(min_length=1)
ANY = AnyThing()
ID = IsUUID()
COUNT = IsInt(ge=0)
PREFIX_SHOWN = 12  # characters of a key, which are no secret
KEY_FORM = re.compile(r"sk_live_[A-Za-z0-9_-]{32}")
