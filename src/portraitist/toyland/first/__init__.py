"""The first toyland, of 64 x 64 pixels: the world, stages and judges of the weights that ship today.

It leaves together with those weights, when the one of 128 x 128 pixels takes their place.
"""
