"""The environment, turned into one frozen `Config`.

table     every variable: name, parser, defaults, help (a new variable is a row there, and a field in model)
variable  the class of these rows
options   the command-line options for them
parsers   the syntax of values
model     Config, and the faults that are reported
loading   pure: mappings in, Config or ConfigFaults out
dotenv    the .env file
secret_files  secrets in files
edge      the only part that reads the process's environment; it combines all of these
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
