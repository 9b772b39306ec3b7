"""Makes src/pellucid/index.json: which module registers which name, so that names are known without importing any."""

from __future__ import annotations

import json

from pellucid.families import families
from pellucid.files import write_text
from pellucid.registry import INDEX, index_of

if __name__ == "__main__":
    content = {family: index_of(registry) for family, registry in sorted(families().items())}
    write_text(INDEX, json.dumps(content, indent=1, ensure_ascii=False) + "\n")
    print(f"{INDEX.name}: {sum(len(part['names']) for part in content.values())} names")
