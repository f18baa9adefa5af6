"""A rendered world of landmarks, for the quickstart and the tests.

Nothing is downloaded: buildings, streets, trees, people and skies are drawn, and photographed in
3-D.

    drawing/      textures drawn in metres         street/     what stands around landmarks
    modelling/    meshes, bodies, roofs            rendering/  camera, shadows, sky, film
    buildings/    the kinds of landmark, houses    scenes/     composing and taking a photo

Above them stand `options`, `plan` (which photos), `work` (taking them in several processes),
`data_sets` and `contact_sheet` (what is written beside them), and `build`, which does it all. Each
imports only what stands before it.
"""
