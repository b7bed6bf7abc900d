// copilot-socket under PM2: pm2 start ecosystem.config.js --env production
// Settings come from the shell or from .env.production in the directory where pm2 is called; docs/deployment/pm2.md.

// The Python environment that copilot-socket is installed in.
const venv = process.env.COPILOT_VENV || "/opt/copilot-socket";

module.exports = {
  apps: [
    {
      name: "copilot-study-socket",
      script: `${venv}/bin/twistd`,
      args: ["-n", "--pidfile=", "copilot-socket"],
      interpreter: "none",
      // One process a socket. Several nodes on one database are several apps, each with its SOCKET_PATH and port.
      exec_mode: "fork",
      instances: 1,

      // A crash is followed by a restart, by and by later if it crashes again.
      autorestart: true,
      exp_backoff_restart_delay: 100,
      max_memory_restart: "1856M",

      // Stopping: SIGINT to the node alone, which stores what it has taken and ends its embedded database itself.
      // PM2 kills it after kill_timeout, which must be longer than SOCKET_SHUTDOWN_TIMEOUT (8000) and than the 20 s for
      // which a node waits for a token that GitLab is renewing.
      treekill: false,
      kill_timeout: 30000,

      // PM2's sign of being ready (wait_ready) is a message of Node's own: ask /health/ready instead.
      wait_ready: false,

      // The node's lines bear their own times.
      merge_logs: true,
      time: false,

      env: { COPILOT_ENV: "development" },
      env_production: { COPILOT_ENV: "production" },
    },
  ],
};
