// SPDX-License-Identifier: Apache-2.0
#include "pods.hpp"

#include <chrono>
#include <utility>

#include <grpcpp/client_context.h>
#include <grpcpp/completion_queue.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/impl/codegen/proto_utils.h>
#include <grpcpp/security/credentials.h>
#include <nlohmann/json.hpp>

#include "pods.pb.h"

namespace bpftune::testing {
namespace {

constexpr std::chrono::minutes patience{1};

void fill(google::protobuf::RepeatedPtrField<pods::Entry>& entries, const std::map<std::string, std::string>& from) {
    for (const auto& [key, value] : from) {
        auto& entry = *entries.Add();
        entry.set_key(key);
        entry.set_value(value);
    }
}

// The labels by which kubelet's own tools know a pod.
std::map<std::string, std::string> kubelet_labels(const PodSpec& spec) {
    auto labels = spec.labels;
    labels["io.kubernetes.pod.name"] = spec.name;
    labels["io.kubernetes.pod.namespace"] = spec.ns;
    labels["io.kubernetes.pod.uid"] = spec.uid;
    return labels;
}

pods::PodSandboxConfig to_config(const PodSpec& spec) {
    pods::PodSandboxConfig config;
    config.mutable_metadata()->set_name(spec.name);
    config.mutable_metadata()->set_uid(spec.uid);
    config.mutable_metadata()->set_namespace_(spec.ns);
    if (!spec.host_network) config.set_hostname(spec.name);
    if (!spec.log_root.empty())
        config.set_log_directory(spec.log_root + "/" + spec.ns + "_" + spec.name + "_" + spec.uid);
    fill(*config.mutable_labels(), kubelet_labels(spec));
    fill(*config.mutable_annotations(), spec.annotations);
    auto& linux_config = *config.mutable_linux();
    linux_config.set_cgroup_parent("/kubepods/besteffort/pod" + spec.uid);
    fill(*linux_config.mutable_sysctls(), spec.sysctls);
    auto& namespaces = *linux_config.mutable_security_context()->mutable_namespace_options();
    namespaces.set_network(spec.host_network ? pods::NODE : pods::POD);
    namespaces.set_pid(pods::CONTAINER);
    return config;
}

pods::ContainerConfig to_config(const PodSpec& pod, const ContainerSpec& spec) {
    pods::ContainerConfig config;
    config.mutable_metadata()->set_name(spec.name);
    config.mutable_image()->set_image(spec.image);
    for (const std::string& word : spec.command) config.add_command(word);
    auto labels = kubelet_labels({.ns = pod.ns, .name = pod.name, .uid = pod.uid});
    labels["io.kubernetes.container.name"] = spec.name;
    fill(*config.mutable_labels(), labels);
    if (!pod.log_root.empty()) config.set_log_path(spec.name + "/0.log");
    auto& namespaces = *config.mutable_linux()->mutable_security_context()->mutable_namespace_options();
    namespaces.set_network(pod.host_network ? pods::NODE : pods::POD);
    namespaces.set_pid(pods::CONTAINER);
    return config;
}

} // namespace

struct Pods::Runtime {
    std::shared_ptr<grpc::Channel> channel;

    template <class Response, class Request>
    grpc::Status try_call(const std::string& method, const Request& request, Response& response);
    template <class Response, class Request> Result<Response> call(const std::string& method, const Request& request);
    template <class Request> Result<> order(const std::string& method, const Request& request) {
        const auto done = call<pods::Empty>(method, request);
        if (!done) return std::unexpected(done.error());
        return {};
    }
    Result<std::string> start(const std::string& sandbox, const PodSpec& pod, const ContainerSpec& spec);
    Result<Pod> fill(Pod pod, const PodSpec& spec);
};

template <class Response, class Request>
grpc::Status Pods::Runtime::try_call(const std::string& method, const Request& request, Response& response) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + patience);
    context.set_wait_for_ready(true);
    grpc::CompletionQueue queue;
    grpc::TemplatedGenericStub<Request, Response> stub(channel);
    const auto reader = stub.PrepareUnaryCall(&context, "/runtime.v1.RuntimeService/" + method, request, &queue);
    grpc::Status status;
    reader->StartCall();
    reader->Finish(&response, &status, nullptr);
    void* tag = nullptr;
    bool ok = false;
    queue.Next(&tag, &ok);
    return status;
}

template <class Response, class Request>
Result<Response> Pods::Runtime::call(const std::string& method, const Request& request) {
    Response response;
    grpc::Status status = try_call(method, request, response);
    if (status.error_code() == grpc::UNAVAILABLE)
        status = try_call(method, request, response); // it was restarted since
    if (!status.ok()) return failure("{}: {}", method, status.error_message());
    return response;
}

Result<std::string> Pods::Runtime::start(const std::string& sandbox, const PodSpec& pod, const ContainerSpec& spec) {
    pods::CreateContainerRequest request;
    request.set_pod_sandbox_id(sandbox);
    *request.mutable_config() = to_config(pod, spec);
    *request.mutable_sandbox_config() = to_config(pod);
    const auto created = call<pods::CreateContainerResponse>("CreateContainer", request);
    if (!created) return std::unexpected(created.error());
    pods::ContainerRequest container;
    container.set_container_id(created->container_id());
    if (const auto started = order("StartContainer", container); !started) return std::unexpected(started.error());
    return created->container_id();
}

Result<Pod> Pods::Runtime::fill(Pod pod, const PodSpec& spec) {
    pods::PodSandboxRequest request;
    request.set_pod_sandbox_id(pod.sandbox);
    const auto status = call<pods::PodSandboxStatusResponse>("PodSandboxStatus", request);
    if (!status) return std::unexpected(status.error());
    pod.address = status->status().network().ip();
    for (const ContainerSpec& container : spec.containers) {
        auto id = start(pod.sandbox, spec, container);
        if (!id) return std::unexpected(id.error());
        pod.containers.push_back(std::move(*id));
    }
    return pod;
}

Pods::Pods(const std::filesystem::path& socket)
    : runtime_(std::make_unique<Runtime>(
          grpc::CreateChannel("unix:" + socket.native(), grpc::InsecureChannelCredentials()))) {}

Pods::~Pods() = default;

Result<Pod> Pods::run(const PodSpec& spec) {
    pods::RunPodSandboxRequest request;
    *request.mutable_config() = to_config(spec);
    const auto made = runtime_->call<pods::RunPodSandboxResponse>("RunPodSandbox", request);
    if (!made) return std::unexpected(made.error());
    auto pod = runtime_->fill({.sandbox = made->pod_sandbox_id()}, spec);
    if (!pod) (void)remove(made->pod_sandbox_id());
    return pod;
}

Result<std::string> Pods::add_container(const std::string& sandbox, const PodSpec& pod, const ContainerSpec& spec) {
    return runtime_->start(sandbox, pod, spec);
}

Result<> Pods::stop_container(const std::string& id) {
    pods::ContainerRequest request; // without a time in which it may end by itself
    request.set_container_id(id);
    return runtime_->order("StopContainer", request);
}

Result<> Pods::remove(const std::string& sandbox) {
    pods::PodSandboxRequest request;
    request.set_pod_sandbox_id(sandbox);
    if (const auto stopped = runtime_->order("StopPodSandbox", request); !stopped) return stopped;
    return runtime_->order("RemovePodSandbox", request);
}

Result<pid_t> Pods::process_of(const std::string& container) {
    pods::VerboseContainerRequest request;
    request.set_container_id(container);
    request.set_verbose(true);
    const auto status = runtime_->call<pods::ContainerStatusResponse>("ContainerStatus", request);
    if (!status) return std::unexpected(status.error());
    for (const pods::Entry& entry : status->info()) {
        if (entry.key() != "info") continue;
        const auto info = nlohmann::json::parse(entry.value(), nullptr, false);
        if (info.is_object() && info.contains("pid")) return info["pid"].get<pid_t>();
    }
    return failure("no process of container {}", container);
}

} // namespace bpftune::testing
