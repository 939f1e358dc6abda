"""What a training command carries out: the pipeline, the rehearsal of its candidate, and inference of whole tables."""
