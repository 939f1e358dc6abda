"""Rows: from files and frames, through one set of types, into a versioned table of event times."""

from typing import TYPE_CHECKING

from homeostat.core.lazy import loader

if TYPE_CHECKING:
    from homeostat.core.table.ids import row_id as row_id
    from homeostat.core.table.rows import prepare as prepare
    from homeostat.core.table.spec import TableSpec as TableSpec
    from homeostat.core.table.spec import table_spec as table_spec

__getattr__ = loader(__name__, {"ids": ("row_id",), "rows": ("prepare",), "spec": ("TableSpec", "table_spec")})
