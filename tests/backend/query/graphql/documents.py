"""Questions as clients of Apache SkyWalking put them: swctl, the web client booster-ui 10, and Horizon.

Names of operations, arguments, variables and fields are theirs.
"""

EXPRESSION_FIELDS = """{
  type
  results {
    metric { labels { key value } }
    values {
      id value traceID
      owner { scope serviceID serviceName normal serviceInstanceID serviceInstanceName endpointID endpointName }
    }
  }
  error
}"""

TOPOLOGY_FIELDS = """{
  nodes { id name type layers isReal }
  calls { id source detectPoints target sourceComponents targetComponents }
}"""

MEMBER_TOPOLOGY_FIELDS = """{
  nodes { id name type isReal serviceName serviceId }
  calls { id source detectPoints target sourceComponents targetComponents }
}"""

SWCTL_VERSION = "query { result: version }"
SWCTL_HEALTH = "query { result: checkHealth { score details } }"
SWCTL_TIME = "query { result: getTimeInfo { timezone currentTimestamp } }"
SWCTL_ALL_SERVICES = """query ($duration: Duration!) {
  result: getAllServices(duration: $duration) { id name group shortName layers normal }
}"""
SWCTL_SERVICES = """query ($layer: String!) {
  result: listServices(layer: $layer) { id name group shortName layers normal }
}"""
SWCTL_FIND_SERVICE = """query ($serviceName: String!) {
  result: findService(serviceName: $serviceName) { id name group shortName layers normal }
}"""
SWCTL_INSTANCES = """query ($serviceId: ID!, $duration: Duration!) {
  result: listInstances(duration: $duration, serviceId: $serviceId) {
    id name language instanceUUID attributes { name value }
  }
}"""
SWCTL_INSTANCE = """query ($instanceId: String!) {
  result: getInstance(instanceId: $instanceId) { id name language instanceUUID attributes { name value } }
}"""
SWCTL_ENDPOINTS = """query ($keyword: String!, $serviceId: ID!, $limit: Int!, $duration: Duration) {
  result: findEndpoint(keyword: $keyword, serviceId: $serviceId, limit: $limit, duration: $duration) { id name }
}"""
SWCTL_ENDPOINTS_WITHOUT_DURATION = """query ($keyword: String!, $serviceId: ID!, $limit: Int!) {
  result: findEndpoint(keyword: $keyword, serviceId: $serviceId, limit: $limit) { id name }
}"""
SWCTL_GLOBAL_TOPOLOGY = f"""query ($duration: Duration!, $layer: String) {{
  result: getGlobalTopology(duration: $duration, layer: $layer) {TOPOLOGY_FIELDS}
}}"""
SWCTL_SERVICE_TOPOLOGY = f"""query ($serviceId: ID!, $duration: Duration!) {{
  result: getServiceTopology(duration: $duration, serviceId: $serviceId) {TOPOLOGY_FIELDS}
}}"""
SWCTL_INSTANCE_TOPOLOGY = f"""query ($clientServiceId: ID!, $serverServiceId: ID!, $duration: Duration!) {{
  result: getServiceInstanceTopology(
    duration: $duration, clientServiceId: $clientServiceId, serverServiceId: $serverServiceId
  ) {MEMBER_TOPOLOGY_FIELDS}
}}"""
SWCTL_ENDPOINT_DEPENDENCY = f"""query ($endpointId: ID!, $duration: Duration!) {{
  result: getEndpointDependencies(duration: $duration, endpointId: $endpointId) {MEMBER_TOPOLOGY_FIELDS}
}}"""
SWCTL_EXPRESSION = f"""query ($expression: String!, $entity: Entity!, $duration: Duration!) {{
  result: execExpression(expression: $expression, entity: $entity, duration: $duration) {EXPRESSION_FIELDS}
}}"""
SWCTL_ALARMS = """query (
  $duration: Duration!, $scope: Scope, $keyword: String, $paging: Pagination!, $tags: [AlarmTag]
) {
  result: getAlarm(duration: $duration, scope: $scope, keyword: $keyword, paging: $paging, tags: $tags) {
    msgs {
      startTime scope id message tags { key, value }
      events {
        name source { service serviceInstance endpoint } startTime endTime message parameters { key value } uuid layer
      }
    }
  }
}"""
SWCTL_MENU = """query {
  result: getMenuItems {
    title icon layer activate description documentLink i18nKey
    subItems { title icon layer activate description documentLink i18nKey }
  }
}"""
SWCTL_PROCESSES = """query ($instanceId: ID!, $duration: Duration!) {
  result: listProcesses(instanceId: $instanceId, duration: $duration) {
    id name serviceId serviceName instanceId instanceName layer agentId detectType labels attributes { name value }
  }
}"""
SWCTL_PROFILING_TASKS = """query ($serviceId: ID!, $triggerType: EBPFProfilingTriggerType) {
  result: queryEBPFProfilingTasks(serviceId: $serviceId, triggerType: $triggerType) {
    taskId serviceId serviceName serviceInstanceId serviceInstanceName processLabels processId processName
    taskStartTime triggerType fixedTriggerDuration
    continuousProfilingCauses {
      type singleValue { threshold current } uri { uriRegex uriPath threshold current } message
    }
    targetType createTime
  }
}"""

BOOSTER_SERVICES = """query queryServices($layer: String!) {
  services: listServices(layer: $layer) { id value: name label: name group layers normal shortName }
}"""
BOOSTER_INSTANCES = """query queryInstances($serviceId: ID!, $duration: Duration!) {
  pods: listInstances(duration: $duration, serviceId: $serviceId) {
    id value: name label: name language instanceUUID attributes { name value }
  }
}"""
BOOSTER_ENDPOINTS = """query queryEndpoints($serviceId: ID!, $keyword: String!) {
  pods: findEndpoint(serviceId: $serviceId, keyword: $keyword, limit: 20) { id value: name label: name }
}"""
BOOSTER_ENDPOINT = """query queryEndpoint($endpointId: ID!) {
  endpoint: getEndpointInfo(endpointId: $endpointId) { id value: name label: name serviceId serviceName }
}"""
BOOSTER_TOPOLOGY = """query queryServicesTopology($duration: Duration!, $serviceIds: [ID!]!) {
  topology: getServicesTopology(duration: $duration, serviceIds: $serviceIds) {
    nodes { id name type isReal layers }
    calls { id source detectPoints target }
  }
}"""
BOOSTER_PROCESS_TOPOLOGY = """query queryProcessTopology($serviceInstanceId: ID!, $duration: Duration!) {
  topology: getProcessTopology(serviceInstanceId: $serviceInstanceId, duration: $duration) {
    nodes { id name isReal serviceName serviceId serviceInstanceId serviceInstanceName }
    calls { id source detectPoints target sourceComponents targetComponents }
  }
}"""
BOOSTER_METRICS = """query queryMetrics($regex: String) {
  metrics: listMetrics(regex: $regex) { value: name label: name type catalog }
}"""
BOOSTER_TYPE_OF_METRICS = "query queryTypeOfMetrics($name: String!) { typeOfMetrics(name: $name) }"
BOOSTER_HIERARCHY = """query queryHierarchy($serviceId: ID!, $layer: String!) {
  hierarchyServiceTopology: getServiceHierarchy(serviceId: $serviceId, layer: $layer) {
    relations { upperService { id name layer normal } lowerService { id name layer normal } }
  }
}"""
BOOSTER_INSTANCE_HIERARCHY = """query queryHierarchy($instanceId: ID!, $layer: String!) {
  hierarchyInstanceTopology: getInstanceHierarchy(instanceId: $instanceId, layer: $layer) {
    relations {
      upperInstance { id name layer normal serviceName serviceId }
      lowerInstance { id name layer normal serviceName serviceId }
    }
  }
}"""
BOOSTER_TEMPLATES = "query getTemplates { getAllTemplates { id, configuration, } }"
BOOSTER_ADD_TEMPLATE = """mutation add($setting: NewDashboardSetting!) {
  addTemplate(setting: $setting) { id status message }
}"""
BOOSTER_CHANGE_TEMPLATE = """mutation change($setting: DashboardSetting!) {
  changeTemplate(setting: $setting) { id status message }
}"""
BOOSTER_DELETE_TEMPLATE = """mutation delete($id: String!) {
  disableTemplate(id: $id) { id status message }
}"""
BOOSTER_ALARMS = """query queryAlarms(
  $keyword: String, $scope: Scope, $duration: Duration!, $tags: [AlarmTag], $paging: Pagination!
) {
  getAlarm(keyword: $keyword, scope: $scope, duration: $duration, paging: $paging, tags: $tags) {
    items: msgs {
      key: id message startTime scope tags { key value }
      events {
        uuid source { service serviceInstance endpoint } name type message parameters { key value } startTime endTime
      }
    }
    total
  }
}"""
BOOSTER_EVENTS = """query queryEvents($condition: EventQueryCondition) {
  fetchEvents: queryEvents(condition: $condition) {
    events {
      uuid source { service serviceInstance endpoint } name type message parameters { key value } startTime endTime
    }
    total
  }
}"""
BOOSTER_LOGS = """query queryLogs($condition: LogQueryCondition) {
  queryLogs(condition: $condition) {
    logs {
      serviceName serviceId serviceInstanceName serviceInstanceId endpointName endpointId traceId timestamp
      contentType content tags { key value }
    }
  }
}"""
BOOSTER_TRACES = """query queryTraces($condition: TraceQueryCondition) {
  data: queryBasicTraces(condition: $condition) {
    traces { key: segmentId endpointNames duration start isError traceIds segmentId }
  }
}"""
BOOSTER_SCHEDULES = """query querySchedules($taskId: ID!) {
  eBPFSchedules: queryEBPFProfilingSchedules(taskId: $taskId) {
    scheduleId taskId
    process {
      id name serviceId serviceName instanceId instanceName agentId detectType attributes { name value } labels
    }
    startTime endTime
  }
}"""
BOOSTER_CREATE_TASK = """mutation create($request: EBPFProfilingTaskFixedTimeCreationRequest!) {
  createTaskData: createEBPFProfilingFixedTimeTask(request: $request) { status errorReason id }
}"""
BOOSTER_CONTAINERS = """query queryContainers($condition: OndemandContainergQueryCondition!) {
  containers: listContainers(condition: $condition) { errorReason containers }
}"""
BOOSTER_POD_LOGS = """query queryStreamingLogs($condition: OndemandLogQueryCondition) {
  logs: ondemandPodLogs(condition: $condition) { errorReason logs { timestamp contentType content } }
}"""

HORIZON_CAPABILITIES = 'query HorizonOapCapabilities { __type(name: "Query") { fields { name } } }'
HORIZON_MENU = """query HorizonMenu {
  layers: listLayers
  levels: listLayerLevels { layer level }
}"""
HORIZON_TTL = """query HorizonOapTtl {
  records: getRecordsTTL {
    normal trace zipkinTrace log browserErrorLog
    coldNormal coldTrace coldZipkinTrace coldLog coldBrowserErrorLog
  }
  metrics: getMetricsTTL { minute hour day coldMinute coldHour coldDay }
}"""
HORIZON_ALARMS = """query HorizonQueryAlarms($condition: AlarmQueryCondition!) {
  queryAlarms(condition: $condition) {
    msgs {
      id startTime recoveryTime scope name message
      tags { key value }
      snapshot {
        expression
        metrics { name results { metric { labels { key value } } values { id value traceID } } }
      }
    }
  }
}"""
HORIZON_LOGS_PROBE = "query { supportQueryLogsByKeywords }"
HORIZON_LAYERS = """query HorizonServices {
  _0: listServices(layer: "K8S_SERVICE") { name }
  _1: listServices(layer: "MESH") { name }
}"""


def booster_expressions(count: int, fields_of_each: str = EXPRESSION_FIELDS) -> str:
    """The web client's batch of expressions, each under a name and with variables of its own."""
    variables = ["$duration: Duration!"]
    fields = []
    for number in range(count):
        variables.append(f"$expression{number}: String!, $entity{number}: Entity!")
        fields.append(
            f"expression{number}: execExpression(expression: $expression{number}, entity: $entity{number}, "
            f"duration: $duration) {fields_of_each}"
        )
    return f"query queryData({', '.join(variables)}) {{ {' '.join(fields)} }}"
