"""Several devices, or several machines, that train one model together."""
