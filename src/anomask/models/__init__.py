"""The networks: encoders, codebook, decoders and the token classifier. Torch and MONAI building blocks only."""
