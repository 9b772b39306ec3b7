"""Fields of hits that other clouds do not have."""

from pellucid.clouds import FIELDS, Field

FIELDS.setdefault("momentum", Field("point", "float", ("P",), "GeV", "true momentum at the hit; for evaluation only",
                                    irreps="vector"))
FIELDS.setdefault("layer", Field("point", "int", (), "", "detector surface that measured the point"))
