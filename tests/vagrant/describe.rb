# What Vagrant itself understands of the Vagrantfile in a folder, as JSON: describe.rb FOLDER
require "vagrant"
require "json"

vagrantfile = Vagrant::Environment.new(cwd: ARGV.fetch(0)).vagrantfile
read = vagrantfile.machine_config(vagrantfile.primary_machine_name, nil, nil, nil) # nil: no provider has to be usable
machine = read[:config].vm
libvirt = machine.get_provider_config(:libvirt)
virtualbox = machine.get_provider_config(:virtualbox) # keeps the options of VBoxManage that set cpus and memory
provisioners = machine.provisioners.map do |provisioner|
  { type: provisioner.type, run: provisioner.run, path: provisioner.config.path, args: provisioner.config.args }
end

puts JSON.generate(
  errors: read[:config_errors],
  warnings: read[:config_warnings],
  box: machine.box,
  libvirt: { cpus: libvirt.cpus, memory: libvirt.memory },
  virtualbox: virtualbox.customizations.map { |_, (_command, _machine, option, value)| [option, value] }.to_h,
  networks: machine.networks.map { |kind, options| { kind: kind, **options } },
  folders: machine.synced_folders.values,
  provisioners: provisioners,
)
