"""`polypstream build`: quicker networks of a model, each judged before it is accepted."""
