"""One name for everything: values by what they hold, functions by what they do.

A fingerprint is the SHA-256 of a length-framed, type-tagged stream, so that no two different values share a stream:
`1`, `1.0`, `True` and `"1"` differ, as do `[1, [2]]` and `[[1], 2]`, a column and the same column renamed, int32 and
int64. Decisions worth knowing:

* Every NaN is the same NaN, whatever computed it.
* `0.0` and `-0.0` differ: they compare equal, but `1 / x` and `copysign` tell them apart, so a step can too.
* The order of a dict or a set is irrelevant; the order of columns is not.
* A tuple is not a list, and a datetime keeps its zone: 12:00 UTC is not 13:00 CET.
* A function is its syntax tree (comments, layout, docstrings left out) and that of every project function, class and
  constant it reaches through globals, closures, defaults, methods and imports; an installed package is its name and
  version.

What cannot be named for sure (an open file, a random generator, a fitted estimator, code without source) is refused
with `FingerprintError` instead of being named wrongly.
"""

from homeostat.core.fingerprint.code import code_fingerprint, fingerprint, fingerprint_parts, printable
from homeostat.core.fingerprint.framing import FingerprintError

__all__ = ["FingerprintError", "code_fingerprint", "fingerprint", "fingerprint_parts", "printable"]
