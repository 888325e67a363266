// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include <catch2/catch.hpp>

#include "service/request.hpp"

using namespace bpftune;
using namespace bpftune::service;
using Command = Request::Command;

namespace {

std::string error_of(std::string_view line) {
    const auto request = parse_request(line);
    return request ? "understood" : request.error().message;
}

} // namespace

TEST_CASE("each command is understood, with the version named or not") {
    CHECK(parse_request(R"({"command": "top"})")->command == Command::top);
    CHECK(parse_request(R"({"command": "health"})")->command == Command::health);
    CHECK(parse_request(R"({"command": "record", "version": 1})")->command == Command::record);
    const auto restore = parse_request(R"({"command": "restore"})");
    CHECK(restore->command == Command::restore);
    CHECK_FALSE(restore->dry_run);
    CHECK_FALSE(restore->now);
    CHECK(parse_request(R"({"command": "restore", "now": true})")->now);
    CHECK(parse_request(R"({"dry_run": true, "command": "restore", "version": 1})")->dry_run);
    CHECK_FALSE(parse_request(R"( {"command": "restore", "dry_run": false} )")->dry_run);
}

TEST_CASE("what is in force may be asked of one pod") {
    CHECK(parse_request(R"({"command": "policy"})")->pod.empty());
    CHECK(parse_request(R"({"command": "policy", "pod": "shop/web-0"})")->pod == "shop/web-0");
    CHECK(error_of(R"({"command": "policy", "pods": "a/b"})") ==
          R"("pods": not known for "policy"; did you mean "pod"?)");
    CHECK(error_of(R"({"command": "top", "pod": "a/b"})") == R"("pod": not known for "top")");
    for (const std::string value : {"7", "\"\"", "null", "[\"a/b\"]", "true"}) {
        INFO(value);
        CHECK(error_of(R"({"command": "policy", "pod": )" + value + "}") == R"("pod": a name is wanted, not )" + value);
    }
}

TEST_CASE("a misspelt key is no order to restore") {
    CHECK(error_of(R"({"command": "restore", "dryrun": true})") ==
          R"("dryrun": not known for "restore"; did you mean "dry_run"?)");
    CHECK(error_of(R"({"command": "restore", "Dry_Run": true})").starts_with(R"("Dry_Run": not known)"));
    CHECK(error_of(R"({"command": "top", "dry_run": true})") == R"("dry_run": not known for "top")");
    CHECK(error_of(R"({"command": "restore", "dry_run": true, "dry_run": false})") == R"("dry_run": given twice)");
}

TEST_CASE("a value of another type is refused and not read as false") {
    CHECK(error_of(R"({"command": "restore", "dry_run": "true"})") ==
          R"("dry_run": true or false is wanted, not a string)");
    for (const std::string value : {"1", "null", "[]", "{}", "\"\""}) {
        INFO(value);
        CHECK(error_of(R"({"command": "restore", "dry_run": )" + value + "}").starts_with(R"("dry_run": true or)"));
        CHECK(error_of(R"({"command": )" + value + "}").starts_with(R"("command": )"));
    }
}

TEST_CASE("another version is refused with a sentence, whatever else the request has") {
    CHECK(error_of(R"({"command": "top", "version": 2})") == R"("version": 1 is spoken here, not 2)");
    CHECK(error_of(R"({"command": "new", "wishes": 7, "version": 18446744073709551615})")
              .starts_with(R"("version": 1 is spoken here)"));
    CHECK(error_of(R"({"command": "top", "version": "1"})") == R"("version": a whole number is wanted, not a string)");
    CHECK(error_of(R"({"command": "top", "version": 1.0})").starts_with(R"("version": a whole number)"));
}

TEST_CASE("what is no request is told what is wrong, and where") {
    CHECK(error_of("").starts_with("column 1: no JSON object in one line: "));
    CHECK(error_of(R"({"command": top})").starts_with("column 14: "));
    CHECK(error_of(R"({"command": "top"} {})").starts_with("column 20: "));
    CHECK(error_of(std::string_view("{\"command\": \"top\"}\0 x", 21)).starts_with("column 19: "));
    CHECK(error_of(R"({"command": "top", "version": 1e999})").starts_with("no JSON object in one line: "));
    CHECK(error_of("[]").starts_with("the request is no object but of type array"));
    CHECK(error_of("{}") == R"("command": missing; "top", "restore", "record", "policy" or "health")");
    CHECK(error_of(R"({"command": "restor"})").ends_with(R"(did you mean "restore"?)"));
}

TEST_CASE("hostile bytes in a request do not come back raw") {
    for (const std::string line :
         {"\xff\x1b[31m", "{\"\\u001b[31m\": 1, \"command\": \"top\"}", "{\"command\": \"\x1b\"}",
          R"({"command": "\u001b[31m\n"})", R"({"\u202e": 1, "\u202e": 2})"}) {
        const std::string error = error_of(line);
        INFO(error);
        CHECK(error != "understood");
        CHECK(std::ranges::none_of(error, [](unsigned char c) { return c < 0x20 || c == 0x7f || c >= 0x80; }));
    }
    CHECK(error_of(std::string(60'000, '[')) != "understood");
}
