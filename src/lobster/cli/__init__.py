"""The `lobster` command: one file a verb, no logic of its own.

Each verb's module has `parser()`, its arguments, and `run(words)`, which parses them and calls the library. Nothing heavy is imported
before `run` needs it.
"""
