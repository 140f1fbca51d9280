"""The review page: people look at what was found, correct it and judge it; the results themselves stay."""
