"""From one machine to many: manifests, charts, images and clouds, rendered from one description."""
