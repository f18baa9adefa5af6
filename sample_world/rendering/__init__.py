"""From meshes and light to a picture: camera, z-buffer, shadows, shading, sky, film."""
