"""From photos to features: engines, one photo, a folder of photos, PCA."""
