"""What does the work: models, methods, storage, trial processes. May import `state`, never `tui`.

Modules that the UI process uses (`launcher`, `watch`, `storage`, `scratch`, `host`, `methods.registry`,
`architectures`) import no tensor library.
"""
