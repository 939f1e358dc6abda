"""Which Homeostat this is: the package, its bundles and its server are told it from here."""

VERSION = "0.1.0"
