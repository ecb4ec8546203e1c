// The object that the precompiled header belongs to.
