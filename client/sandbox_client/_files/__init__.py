"""Files of a sandbox: read, written and listed for a model, copied whole for a person.

Knows `_agent`, `_errors`, `_excerpt`, `_message`, `_prompts`, `_proxy`, `_sandboxes`, `_watch`,
`_wire`.
"""
