"""What the engine needs of the rooms beside it, a module for each: protocols and the values that cross them.

`registry`, `source`, `spool`, `store` and `vault` fulfil these without importing them; mypy holds them to it where
`service` composes.
"""
