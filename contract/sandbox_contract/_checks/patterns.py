"""What fields hold, as patterns that compare equal to what fits."""

import re

from dirty_equals import AnyThing, IsInt, IsStr, IsUUID

TIMESTAMP = IsStr(regex=r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
TEXT = IsStr(min_length=1)
ANY = AnyThing()
ID = IsUUID()
COUNT = IsInt(ge=0)
KEY_FORM = re.compile(r"sk_live_[A-Za-z0-9_-]{32}")
