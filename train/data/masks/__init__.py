"""What the masks of a data set hold, measured once, and checked before anything is learnt from them."""
