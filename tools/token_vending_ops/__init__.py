"""What an operator needs beside the deployed stack. Installed with the development tools, never in the layer."""
