"""The live lab: panels over a bus in JupyterLab."""
