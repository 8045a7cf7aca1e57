"""The contracts: one folder per domain, one `.avsc` per message type. A package, so that no other `schemas` folder is read in its place."""
