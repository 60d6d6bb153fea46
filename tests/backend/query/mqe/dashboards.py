"""The expressions of the dashboards that SkyWalking has for Kubernetes services, old and new."""

from itertools import product

KS = "kubernetes_service"
STATUSES = [f"http_status_{digit}xx_cpm" for digit in range(1, 6)]
SIZES = [f"http_avg_{way}_{part}_size" for way, part in product(("req", "resp"), ("header", "body"))]
STATE = [  # of metrics that other receivers feed, and this backend does not have
    "latest(k8s_service_pod_total)",
    "k8s_service_pod_total",
    *(f"latest(k8s_service_cpu_cores_{of})" for of in ("requests", "limits")),
    *(f"k8s_service_cpu_cores_{of}" for of in ("requests", "limits")),
    *(f"k8s_service_memory_{of}/1024/1024" for of in ("requests", "limits")),
    "k8s_service_pod_cpu_usage",
    "k8s_service_pod_memory_usage/1024/1024",
    *(f"latest(k8s_service_pod_{of})" for of in ("status", "status_waiting", "status_restarts_total")),
]


def tcp(prefix: str, device: list[str]) -> list[str]:
    """Of a service or an instance."""
    plain = [
        *("connect_cpm", "connect_success_cpm", "connect_time", "accept_cpm", "accept_time", "write_time", "read_time"),
        *("write_package_cpm", "write_retrains_package_cpm", "read_package_cpm", "resolve_mac_cpm"),
        *("read_l4_time", "read_l3_time", "read_l3_rcv_time", "read_l3_local_time", "read_package_to_queue_time"),
        *("write_l4_time", "write_l3_time", "write_l3_local_time", "write_l3_output_time", "write_l2_time"),
        *("write_netfilter_cpm", "read_netfilter_cpm"),
        *device,
    ]
    ratios = [("write_netfilter_duration", "write_netfilter_cpm"), ("read_netfilter_duration", "read_netfilter_cpm")]
    ratios.append(("resolve_mac_duration", "resolve_mac_cpm"))
    return [
        *(f"{prefix}_{name}" for name in plain),
        *(f"{prefix}_{way}_package_size/1024" for way in ("write", "read")),
        *(f"{prefix}_{way}_package_size/{prefix}_{way}_package_cpm/1024" for way in ("write", "read")),
        *(f"{prefix}_{duration}/{prefix}_{count}" for duration, count in ratios),
    ]


def http(prefix: str) -> list[str]:
    return [
        *(f"{prefix}_{name}" for name in ("http_call_cpm", "http_call_time", *STATUSES)),
        *(f"{prefix}_{name}/1024" for name in SIZES),
    ]


SERVICES = [
    f"latest({KS}_http_call_cpm)",
    f"latest({KS}_http_call_successful_rate/100)",
    f"avg({KS}_write_package_size)/60",
    f"avg({KS}_read_package_size)/60",
    f"avg({KS}_http_call_cpm)",
    f"avg({KS}_http_call_time)",
    f"avg({KS}_http_call_successful_rate/100)",
    f"(avg({KS}_http_call_successful_rate) < 9500) * (avg({KS}_http_call_cpm) > 1) == 1",
    f"{KS}_http_call_successful_rate/100",
    *tcp(
        KS,
        [
            "write_l2_enter_avg_queue_count",
            "write_l2_ready_avg_send_duration",
            "write_l2_net_device_avg_send_duration",
        ],
    ),
    *http(KS),
]
TOPS = [
    f"top_n({KS}_apdex,10,asc,attr0='K8S_SERVICE')/10000",
    f"top_n({KS}_http_call_successful_rate,10,asc,attr0='K8S_SERVICE')/100",
    f"top_n({KS}_http_call_time,10,des,attr0='K8S_SERVICE')",
    f"top_n({KS}_http_call_cpm,10,des,attr0='K8S_SERVICE')",
    f"top_n({KS}_instance_write_l4_time,10,des)",
    f"top_n({KS}_endpoint_call_time,10,des)",
]
INSTANCES = [
    f"latest({KS}_instance_http_call_cpm)",
    f"latest({KS}_instance_http_call_time)",
    f"latest({KS}_instance_http_call_successful_rate/100)",
    *tcp(
        f"{KS}_instance",
        ["write_l2_avg_enter_queue_count", "write_l2_ready_send_time", "write_l2_net_device_send_time"],
    ),
    *http(f"{KS}_instance"),
]
ENDPOINTS = [
    f"avg({KS}_endpoint_call_cpm)",
    f"avg({KS}_endpoint_call_successful_rate/100)",
    f"avg({KS}_endpoint_call_time)",
    f"{KS}_endpoint_call_cpm",
    f"{KS}_endpoint_call_successful_rate/100",
    f"{KS}_endpoint_call_time",
    *http(f"{KS}_endpoint"),
]


def relations(prefix: str) -> list[str]:
    """Of services or instances."""
    expressions = [
        *(f"{prefix}_{name}" for name in ("connect_cpm", "connect_success_cpm", "accept_cpm")),
        *(f"{prefix}_{name}_duration/1000000" for name in ("connect", "accept")),
        f"{prefix}_server_write_package_duration/{prefix}_server_write_package_cpm/1000000",
        f"{prefix}_server_read_package_duration/{prefix}_server_read_package_cpm/1000000",
        f"{prefix}_client_write_package_duration/{prefix}_client_write_cpm/1000000",
        f"{prefix}_client_read_package_duration/{prefix}_client_read_package_cpm/1000000",
    ]
    for of_side in (f"{prefix}_server", f"{prefix}_client"):
        plain = ("write_package_cpm", "write_retrains_package_cpm", "read_package_cpm")
        times = [f"write_{stage}_time" for stage in ("l4", "l3", "l3_local", "l3_output", "l2")]
        times += ["write_l2_ready_send_time", "write_l2_net_dev_send_time", "read_l2_package_to_queue_time"]
        times += [f"read_{stage}_time" for stage in ("l4", "l3", "l3_rcv", "l3_local")]
        expressions += [f"{of_side}_{name}" for name in (*plain, *times)]
        for way in ("write", "read"):
            expressions += [
                f"{of_side}_{way}_package_size/1024",
                f"{of_side}_{way}_package_size/{of_side}_{way}_package_cpm/1024",
                f"{of_side}_{way}_netfilter_cpm",
                f"{of_side}_{way}_netfilter_duration/{of_side}_{way}_netfilter_cpm",
                f"avg({of_side}_{way}_package_size)/60",
            ]
        expressions += [
            f"{of_side}_write_resolve_mac_cpm",
            f"{of_side}_write_resolve_mac_duration/{of_side}_write_resolve_mac_cpm",
            f"avg({of_side}_http_call_cpm)/60",
            f"avg({of_side}_http_call_time)",
            *http(of_side),
        ]
    return expressions


SERVICE_RELATIONS = relations(f"{KS}_relation")
INSTANCE_RELATIONS = relations(f"{KS}_instance_relation")
ALL = [*SERVICES, *TOPS, *INSTANCES, *ENDPOINTS, *SERVICE_RELATIONS, *INSTANCE_RELATIONS]
