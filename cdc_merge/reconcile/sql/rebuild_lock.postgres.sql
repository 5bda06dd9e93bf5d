-- From here on nobody changes the old table, nor what hangs on it.
LOCK TABLE {{ table }} IN ACCESS EXCLUSIVE MODE
