// SPDX-License-Identifier: Apache-2.0
// The runtime's answers within their bounds.
#include <string>

#include <catch2/catch.hpp>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>

#include "kube/cri_listing.hpp"

using namespace bpftune;
using namespace bpftune::kube;
namespace cri = ::runtime::v1;

namespace {

Result<Listing> read(const std::string& sandboxes, const std::string& containers = {}) {
    cri::VersionResponse version;
    version.set_runtime_name("containerd");
    version.set_runtime_version("1.6.20");
    google::protobuf::io::ArrayInputStream first(sandboxes.data(), static_cast<int>(sandboxes.size()));
    google::protobuf::io::ArrayInputStream second(containers.data(), static_cast<int>(containers.size()));
    return to_listing(version, first, second);
}

Listing read(const cri::ListPodSandboxResponse& sandboxes, const cri::ListContainersResponse& containers = {}) {
    auto listing = read(sandboxes.SerializeAsString(), containers.SerializeAsString());
    REQUIRE(listing.has_value());
    return std::move(*listing);
}

cri::PodSandbox& add_pod(cri::ListPodSandboxResponse& to, const std::string& name) {
    auto& pod = *to.add_items();
    pod.set_id(name);
    pod.mutable_metadata()->set_name(name);
    pod.mutable_metadata()->set_uid(name);
    pod.mutable_metadata()->set_namespace_("default");
    return pod;
}

void add(cri::Entry& entry, const std::string& key, const std::string& value) {
    entry.set_key(key);
    entry.set_value(value);
}

} // namespace

TEST_CASE("what a pod is called is made fit to print") {
    cri::ListPodSandboxResponse pods;
    auto& pod = add_pod(pods, "a\x1b[2J\xff");
    pod.mutable_metadata()->set_namespace_("n\n");
    add(*pod.add_labels(), "k\r", "v\xc2\x9b");
    const auto listing = read(pods);
    REQUIRE(listing.sandboxes.size() == 1);
    CHECK(listing.sandboxes[0].name == "a\\x1b[2J\\xff");
    CHECK(listing.sandboxes[0].ns == "n\\x0a");
    CHECK(listing.sandboxes[0].labels == std::map<std::string, std::string>{{"k\\x0d", "v\\xc2\\x9b"}});
    CHECK(listing.runtime == "containerd 1.6.20");
    CHECK(to_string(listing.left_out).empty());
}

TEST_CASE("a pod whose name is none is left out and counted, for a name that is cut could be another's") {
    cri::ListPodSandboxResponse pods;
    add_pod(pods, std::string(longest_name_bytes, 'a'));
    add_pod(pods, std::string(longest_name_bytes + 1, 'a'));
    add_pod(pods, "no-uid").mutable_metadata()->clear_uid();
    const auto listing = read(pods);
    CHECK(listing.sandboxes.size() == 1);
    CHECK(to_string(listing.left_out) == "2 sandboxes");
}

TEST_CASE("a value that is too long is left out and counted, the others stay") {
    cri::ListPodSandboxResponse pods;
    auto& pod = add_pod(pods, "web");
    add(*pod.add_annotations(), "kubectl.kubernetes.io/last-applied-configuration", std::string(256 << 10, 'x'));
    add(*pod.add_annotations(), "fits", std::string(longest_value_bytes, 'x'));
    add(*pod.add_annotations(), std::string(longest_key_bytes + 1, 'k'), "x");
    const auto listing = read(pods);
    CHECK(listing.sandboxes.at(0).annotations.size() == 1);
    CHECK(listing.sandboxes[0].annotations.contains("fits"));
    CHECK(listing.sandboxes[0].entries_left_out == 2);
    CHECK_FALSE(listing.sandboxes[0].is_incomplete); // no policy can ask for these
    CHECK(to_string(listing.left_out) == "2 labels or annotations");
}

TEST_CASE("no other annotation takes the place of one of ours") {
    cri::ListPodSandboxResponse pods;
    auto& pod = add_pod(pods, "web");
    for (std::size_t i = 0; i < 2 * most_entries; ++i) add(*pod.add_annotations(), "a" + std::to_string(i), "x");
    add(*pod.add_annotations(), "bpftune-k8s.io/mode", "observe");
    const auto listing = read(pods);
    CHECK(listing.sandboxes.at(0).annotations.size() == most_entries);
    CHECK(listing.sandboxes[0].annotations.contains("bpftune-k8s.io/mode"));
    CHECK(listing.sandboxes[0].entries_left_out == most_entries + 1);
    CHECK(listing.sandboxes[0].is_incomplete);
}

TEST_CASE("as many labels as there may be take no annotation's place") {
    cri::ListPodSandboxResponse pods;
    auto& pod = add_pod(pods, "web");
    for (std::size_t i = 0; i <= most_entries; ++i) add(*pod.add_labels(), "l" + std::to_string(i), "x");
    add(*pod.add_annotations(), "bpftune-k8s.io/mode", "observe");
    add(*pod.add_annotations(), "other", "x");
    const auto listing = read(pods);
    CHECK(listing.sandboxes.at(0).is_incomplete);
    CHECK(listing.sandboxes[0].annotations.size() == 2);
}

TEST_CASE("an annotation of ours that is too long is not taken for one that is not there") {
    cri::ListPodSandboxResponse pods;
    add(*add_pod(pods, "web").add_annotations(), "bpftune-k8s.io/mode", std::string(longest_value_bytes + 1, 'x'));
    CHECK(read(pods).sandboxes.at(0).annotations.at("bpftune-k8s.io/mode").size() == longest_value_bytes);
}

TEST_CASE("of too many sandboxes those that are ready are kept") {
    cri::ListPodSandboxResponse pods;
    for (std::size_t i = 0; i < most_sandboxes + 10; ++i)
        add_pod(pods, "gone-" + std::to_string(i)).set_state(cri::SANDBOX_NOTREADY);
    add_pod(pods, "ready");
    const auto listing = read(pods);
    CHECK(listing.sandboxes.size() == most_sandboxes);
    CHECK(listing.sandboxes.back().id == "ready");
    CHECK(listing.left_out.sandboxes == 11);
}

TEST_CASE("of too many containers those that run are kept") {
    cri::ListContainersResponse containers;
    for (std::size_t i = 0; i <= most_containers; ++i) {
        auto& container = *containers.add_containers();
        container.set_id(std::to_string(i));
        container.set_pod_sandbox_id("web");
        container.mutable_metadata()->set_name("nginx");
        container.set_state(i == most_containers ? cri::CONTAINER_RUNNING : cri::CONTAINER_EXITED);
    }
    const auto listing = read({}, containers);
    CHECK(listing.containers.size() == most_containers);
    CHECK(std::count_if(listing.containers.begin(), listing.containers.end(), [](auto& one) { return one.running; }) ==
          1);
    CHECK(to_string(listing.left_out) == "1 container");
}

TEST_CASE("all labels and annotations together are bounded, and pods that are gone take no room from others") {
    cri::ListPodSandboxResponse pods;
    constexpr int gone = 600;
    for (int i = 0; i < gone + 700; ++i) {
        auto& pod = add_pod(pods, fmt::format("pod-{:04}", i));
        if (i < gone) pod.set_state(cri::SANDBOX_NOTREADY);
        for (std::size_t j = 0; j < most_entries; ++j)
            add(*pod.add_labels(), std::to_string(j), std::string(longest_value_bytes, 'x'));
    }
    const auto listing = read(pods);
    std::size_t bytes = 0;
    for (const auto& pod : listing.sandboxes)
        for (const auto& [key, value] : pod.labels) bytes += key.size() + value.size();
    CHECK(bytes <= most_text_bytes * 5 / 4);
    CHECK(listing.left_out.sandboxes == 0);
    CHECK(listing.left_out.entries > 0);
    CHECK(listing.sandboxes[gone].labels.size() == most_entries);
}

TEST_CASE("an answer that is none is an error") {
    CHECK(read("\x0a\x05xx", "").error().message == "its list of pods cannot be read");
    CHECK(read("", "\x0a\xff\xff\xff\xff\x0f").error().message == "its list of containers cannot be read");
    CHECK_FALSE(read(std::string(1000, '\xff')).has_value());
}

TEST_CASE("fields that are not known are passed over") {
    cri::ListPodSandboxResponse pods;
    add_pod(pods, "web");
    const auto listing = read("\x12\x03xyz" + pods.SerializeAsString());
    REQUIRE(listing.has_value());
    CHECK(listing->sandboxes.size() == 1);
}
