/* Stub, replaced by the conf room. */
