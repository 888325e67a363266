// SPDX-License-Identifier: Apache-2.0
// A container runtime as the client sees it: real gRPC on a Unix socket, pods as the test says.
#pragma once

#include <condition_variable>
#include <filesystem>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>
#include <grpcpp/server_context.h>

#include "cri.grpc.pb.h"

namespace bpftune::testing {

namespace cri = ::runtime::v1;

struct RuntimeKind {
    std::string name = "fake";
    std::string version = "1.2";
    // To who watches its events; nothing: it tells them.
    std::optional<grpc::Status> answers_watchers = grpc::Status(grpc::StatusCode::UNIMPLEMENTED, "no events");
    bool speaks_cri = true;
};

class FakeRuntime final : public cri::RuntimeService::Service {
public:
    explicit FakeRuntime(std::filesystem::path socket, RuntimeKind kind = {})
        : socket_(std::move(socket)), kind_(std::move(kind)) {
        start();
    }
    ~FakeRuntime() override { stop(); }

    void start() {
        grpc::ServerBuilder builder;
        builder.AddListeningPort("unix:" + socket_.native(), grpc::InsecureServerCredentials());
        builder.RegisterService(this);
        builder.SetMaxSendMessageSize(-1);
        server_ = builder.BuildAndStart();
    }
    void stop() {
        if (server_) server_->Shutdown(std::chrono::system_clock::now());
        server_.reset();
        std::filesystem::remove(socket_);
    }

    cri::PodSandbox& add_pod(const std::string& name) {
        const std::scoped_lock lock(mutex_);
        auto& pod = *sandboxes_.add_items();
        pod.set_id("sandbox-" + name);
        pod.mutable_metadata()->set_name(name);
        pod.mutable_metadata()->set_uid("uid-" + name);
        pod.mutable_metadata()->set_namespace_("default");
        return pod;
    }
    void add_container(const std::string& pod, const std::string& name) {
        const std::scoped_lock lock(mutex_);
        auto& container = *containers_.add_containers();
        container.set_id(pod + "-" + name);
        container.set_pod_sandbox_id("sandbox-" + pod);
        container.mutable_metadata()->set_name(name);
        container.set_state(cri::CONTAINER_RUNNING);
    }
    // To whoever watches, now or later.
    void tell_event() {
        const std::scoped_lock lock(mutex_);
        ++untold_;
        told_.notify_all();
    }
    [[nodiscard]] int listings() {
        const std::scoped_lock lock(mutex_);
        return listings_;
    }

    // Who has begun to watch so far.
    [[nodiscard]] int watchers() {
        const std::scoped_lock lock(mutex_);
        return watchers_;
    }

private:
    grpc::Status Version(grpc::ServerContext*, const cri::VersionRequest*, cri::VersionResponse* version) override {
        if (!kind_.speaks_cri) return {grpc::StatusCode::UNIMPLEMENTED, "unknown service"};
        version->set_runtime_name(kind_.name);
        version->set_runtime_version(kind_.version);
        return grpc::Status::OK;
    }
    grpc::Status ListPodSandbox(grpc::ServerContext*, const cri::ListPodSandboxRequest*,
                                cri::ListPodSandboxResponse* sandboxes) override {
        const std::scoped_lock lock(mutex_);
        ++listings_;
        *sandboxes = sandboxes_;
        return grpc::Status::OK;
    }
    grpc::Status ListContainers(grpc::ServerContext*, const cri::ListContainersRequest*,
                                cri::ListContainersResponse* containers) override {
        const std::scoped_lock lock(mutex_);
        *containers = containers_;
        return grpc::Status::OK;
    }
    grpc::Status GetContainerEvents(grpc::ServerContext* context, const cri::GetEventsRequest*,
                                    grpc::ServerWriter<cri::ContainerEventResponse>* writer) override {
        std::unique_lock lock(mutex_);
        ++watchers_;
        if (kind_.answers_watchers) return *kind_.answers_watchers;
        while (!context->IsCancelled()) {
            told_.wait_for(lock, std::chrono::milliseconds(10), [&] { return untold_ > 0; });
            for (; untold_ > 0; --untold_) writer->Write({});
        }
        return grpc::Status::OK;
    }

    std::filesystem::path socket_;
    RuntimeKind kind_;
    std::unique_ptr<grpc::Server> server_;
    std::mutex mutex_; // over what follows
    std::condition_variable told_;
    cri::ListPodSandboxResponse sandboxes_;
    cri::ListContainersResponse containers_;
    int untold_ = 0;
    int listings_ = 0;
    int watchers_ = 0;
};

} // namespace bpftune::testing
