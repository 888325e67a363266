// SPDX-License-Identifier: Apache-2.0
#include "cli/refusal.hpp"

#include <algorithm>
#include <sstream>

#include <catch2/catch.hpp>

using namespace bpftune;

namespace {

// What is said of this command line, without the line on how to get help; "" where nothing is wrong.
std::string said_of(std::vector<std::string> words) {
    CLI::App app("", "program");
    app.set_version_flag("--version", "1");
    app.require_subcommand(1);
    app.failure_message(cli::refusal);
    std::string since;
    std::string file;
    app.add_subcommand("history")->add_option("--since", since);
    app.add_subcommand("top");
    CLI::App* const policy = app.add_subcommand("policy");
    policy->require_subcommand(1);
    policy->add_subcommand("check")->add_option("FILE", file)->required();
    std::ranges::reverse(words); // as CLI11 wants them
    try {
        app.parse(words);
    } catch (const CLI::ParseError& error) {
        std::ostringstream out;
        std::ostringstream said;
        app.exit(error, out, said);
        const std::string help = "\nRun with --help for more information.\n";
        REQUIRE_THAT(said.str(), Catch::EndsWith(help));
        return said.str().substr(0, said.str().size() - help.size());
    }
    return {};
}

} // namespace

TEST_CASE("a command that is not known is said, with the one that was meant") {
    CHECK(said_of({"polcy", "check", "x"}) == "unknown command 'polcy'; did you mean 'policy'?");
    CHECK(said_of({"HISTORY"}) == "unknown command 'HISTORY'; did you mean 'history'?");
    CHECK(said_of({"policy", "chek", "x"}) == "unknown command 'chek' of policy; did you mean 'check'?");
    CHECK(said_of({"help"}) == "unknown command 'help'; did you mean '--help'?");
    CHECK(said_of({"version"}) == "unknown command 'version'; did you mean '--version'?");
    CHECK(said_of({"dance"}) == "unknown command 'dance'");
    CHECK(said_of({"\x1b[2J"}) == "unknown command '\\x1b[2J'");
    CHECK(said_of({std::string(1000, 'a')}).size() < 200);
}

TEST_CASE("an option that is not known is said before what is missing for its sake") {
    CHECK(said_of({"history", "--sinc", "2h"}) == "unknown option '--sinc' of history; did you mean '--since'?");
    CHECK(said_of({"history", "--sinc=2h"}) == "unknown option '--sinc=2h' of history; did you mean '--since'?");
    CHECK(said_of({"policy", "check", "--strict"}) == "unknown option '--strict' of policy check");
    CHECK(said_of({"-v"}) == "unknown option '-v'");
    CHECK(said_of({"--vresion", "top"}) == "unknown option '--vresion'; did you mean '--version'?");
}

TEST_CASE("a word too many is said, and what is missing is said as ever") {
    CHECK(said_of({"history", "yesterday"}) == "history takes no 'yesterday'");
    CHECK(said_of({"policy", "check", "a", "b"}) == "policy check takes no 'b'");
    CHECK(said_of({}) == "A subcommand is required");
    CHECK(said_of({"policy", "check"}) == "FILE is required");
    CHECK(said_of({"history", "--since", "1h"}).empty());
}
