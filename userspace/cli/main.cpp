// SPDX-License-Identifier: Apache-2.0
#include <exception>

#include "cli/commands.hpp"
#include "cli/refusal.hpp"
#include "sys/host_proc.hpp"

int main(int argc, char** argv) {
    using namespace bpftune;
    try {
        cli::keep_standard_streams();
        CLI::App app("Sees the connections and packets that a Kubernetes node loses, says which kernel limit binds, "
                     "and raises it where a policy allows.",
                     "bpftune-k8s");
        app.set_version_flag("--version", BPFTUNE_VERSION);
        app.require_subcommand(1);
        app.failure_message(cli::refusal);
        int status = cli::done;
        cli::add_run(app, status);
        cli::add_top(app, status);
        cli::add_doctor(app, status);
        cli::add_health(app, status);
        cli::add_policy(app, status);
        cli::add_history(app, status);
        cli::add_restore(app, status);
        cli::add_record(app, status);
        cli::add_replay(app, status);
        cli::add_measure(app, status);
        // Before all else: what looks at /proc from here on looks at the node's.
        if (const auto taken = sys::take_host_proc(); !taken) cli::fail(taken.error());
        try {
            app.parse(argc, argv);
        } catch (const CLI::ParseError& error) {
            status = app.exit(error) == 0 ? cli::done : cli::usage;
        }
        if (const auto written = cli::flush_output(); !written) return cli::fail(written.error());
        return status;
    } catch (const std::exception& error) {
        return cli::fail({error.what()});
    }
}
