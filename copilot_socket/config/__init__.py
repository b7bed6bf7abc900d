"""The environment, turned into one frozen `Config`.

table     every variable: name, parser, defaults, meaning (a new variable is one row there, a field in model)
variable  what such a row holds
options   the command line's options for them
parsers   what a value may look like
model     Config, and how faults are told
loading   pure: mappings in, Config or ConfigFaults out
dotenv    the .env file
secret_files  secrets in files of their own
edge      the only part that reads the process's environment; it brings all of these together
"""

from copilot_socket.config.edge import from_environment, further_variables
from copilot_socket.config.loading import load
from copilot_socket.config.model import Config, ConfigFaults, Fault, Setting, masked_url
from copilot_socket.config.options import Option, option_names
from copilot_socket.config.table import VARIABLES
from copilot_socket.config.variable import Variable

__all__ = [
    "VARIABLES",
    "Config",
    "ConfigFaults",
    "Fault",
    "Option",
    "Setting",
    "Variable",
    "from_environment",
    "further_variables",
    "load",
    "masked_url",
    "option_names",
]
