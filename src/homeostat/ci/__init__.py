"""CI: collect, validate, preprocess, analyze, train, evaluate, gate."""
