/** The name of the application. */
export const NAME = "copilot-socket";
