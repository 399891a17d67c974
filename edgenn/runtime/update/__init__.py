"""Updates of the bundle that runs, pulled from any static web server.

`index` says what there is, `download` gets it, `slots` keeps two bundles on disk of which one is
always good, `updater` tries the new one and goes back where it does worse. Nothing here needs a
clock that is right: serials decide.
"""
