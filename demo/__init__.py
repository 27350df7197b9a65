"""The tutorial, typed step by step into a local account with a real HTCondor pool."""
